// SPDX-License-Identifier: GPL-2.0
/* Shims for giving memory of inodes back. */
#include <linux/fs.h>
#include <linux/list_lru.h>
#include <linux/shrinker.h>

#include "shims.h"

int rext4_shim_shrinker_init(struct rext4_shrinker *shrinker)
{
	/* The list looks for a lockdep key in what it is given. */
	memset(shrinker, 0, sizeof(*shrinker));
	return list_lru_init(&shrinker->inodes);
}

static unsigned long count_parts(struct shrinker *shrinker,
				 struct shrink_control *sc)
{
	struct rext4_shrinker *own = shrinker->private_data;

	return own->count(own->sb);
}

static unsigned long scan_parts(struct shrinker *shrinker,
				struct shrink_control *sc)
{
	struct rext4_shrinker *own = shrinker->private_data;
	unsigned long looks = sc->nr_to_scan;
	unsigned long freed = own->scan(own->sb, &looks);

	sc->nr_scanned = looks;
	/* Nothing to look at, whatever was counted. */
	return looks ? freed : SHRINK_STOP;
}

int rext4_shim_shrinker_start(
	struct rext4_shrinker *own, struct super_block *sb,
	unsigned long (*count)(struct super_block *sb),
	unsigned long (*scan)(struct super_block *sb, unsigned long *looks))
{
	struct shrinker *shrinker = shrinker_alloc(0, "rext4-extents:%s",
						   sb->s_id);

	if (!shrinker)
		return -ENOMEM;
	own->sb = sb;
	own->count = count;
	own->scan = scan;
	own->shrinker = shrinker;
	shrinker->count_objects = count_parts;
	shrinker->scan_objects = scan_parts;
	shrinker->private_data = own;
	shrinker_register(shrinker);
	return 0;
}

void rext4_shim_shrinker_stop(struct rext4_shrinker *own)
{
	/* Waits for those who are in it. */
	shrinker_free(own->shrinker);
	own->shrinker = NULL;
}

void rext4_shim_shrinker_destroy(struct rext4_shrinker *own)
{
	list_lru_destroy(&own->inodes);
}

void rext4_shim_shrinker_add(struct rext4_shrinker *own,
			     struct list_head *entry)
{
	list_lru_add_obj(&own->inodes, entry);
}

void rext4_shim_shrinker_remove(struct rext4_shrinker *own,
				struct list_head *entry)
{
	list_lru_del_obj(&own->inodes, entry);
}

/* How far a walk has come. */
struct walk {
	enum rext4_turn (*visit)(struct list_head *entry, void *arg);
	void *arg;
	unsigned long left;
};

static enum lru_status visit(struct list_head *entry, struct list_lru_one *list,
			     void *arg)
{
	struct walk *walk = arg;

	switch (walk->visit(entry, walk->arg)) {
	case REXT4_TURN_EMPTY:
		list_lru_isolate(list, entry);
		return LRU_REMOVED;
	case REXT4_TURN_OVER:
		return LRU_ROTATE;
	case REXT4_TURN_GOES_ON:
		/* Nobody else has a turn. */
		walk->left = 0;
	}
	return LRU_SKIP;
}

void rext4_shim_shrinker_walk(struct rext4_shrinker *own,
			      enum rext4_turn (*each)(struct list_head *entry,
						      void *arg),
			      void *arg)
{
	struct walk walk = { .visit = each, .arg = arg };
	int nid;

	for_each_node_state(nid, N_NORMAL_MEMORY) {
		/* Each one once. */
		walk.left = list_lru_count_node(&own->inodes, nid);
		list_lru_walk_one(&own->inodes, nid, NULL, visit, &walk,
				  &walk.left);
	}
}
