// SPDX-License-Identifier: GPL-2.0
/* Shims for what a file system does by itself. */
#include <linux/fs.h>
#include <linux/jbd2.h>
#include <linux/workqueue.h>

#include "shims.h"

void rext4_shim_commit_work_init(struct rext4_commit_work *work,
				 void (*run)(struct work_struct *))
{
	INIT_WORK(&work->work, run);
	work->sb = NULL;
	work->wanted = false;
	work->stopped = false;
	work->committed = 0;
}

static void commit_is_done(journal_t *journal, transaction_t *transaction)
{
	struct rext4_commit_work *work = journal->j_private;

	if (!is_journal_aborted(journal))
		WRITE_ONCE(work->committed, transaction->t_tid);
	rext4_shim_commit_work_queue(work);
}

bool rext4_shim_commit_work_has(const struct rext4_commit_work *work, tid_t tid)
{
	return tid_geq(READ_ONCE(work->committed), tid);
}

void rext4_shim_commit_work_queue(struct rext4_commit_work *work)
{
	if (READ_ONCE(work->wanted) && !READ_ONCE(work->stopped))
		queue_work(system_dfl_wq, &work->work);
}

void rext4_shim_commit_work_want(struct rext4_commit_work *work, bool wanted)
{
	WRITE_ONCE(work->wanted, wanted);
}

void rext4_shim_commit_work_attach(struct rext4_commit_work *work,
				   journal_t *journal, struct super_block *sb)
{
	work->sb = sb;
	if (!journal)
		return;
	journal->j_private = work;
	work->committed = READ_ONCE(journal->j_commit_sequence);
	/* A commit that sees the callback sees what it works with. */
	smp_store_release(&journal->j_commit_callback, commit_is_done);
}

void rext4_shim_commit_work_stop(struct rext4_commit_work *work)
{
	WRITE_ONCE(work->stopped, true);
	/* A commit may have looked before that and queue it after this. */
	cancel_work_sync(&work->work);
}

struct super_block *rext4_shim_commit_work_sb(struct work_struct *work)
{
	struct rext4_commit_work *own =
		container_of(work, struct rext4_commit_work, work);

	return READ_ONCE(own->stopped) ? NULL : own->sb;
}

void rext4_shim_background_init(struct rext4_background *background,
				struct workqueue_struct *workers,
				void (*run)(struct work_struct *))
{
	INIT_DELAYED_WORK(&background->work, run);
	/* Nothing is written once the machine is being put to sleep. */
	background->workers = workers ?: system_freezable_wq;
	background->sb = NULL;
}

struct workqueue_struct *rext4_shim_background_workers(const char *what,
						       const char *name)
{
	return alloc_workqueue("rext4-%s/%s",
			       WQ_MEM_RECLAIM | WQ_FREEZABLE | WQ_UNBOUND, 1,
			       what, name);
}

void rext4_shim_background_start(struct rext4_background *background,
				 struct super_block *sb, unsigned long pause)
{
	background->sb = sb;
	queue_delayed_work(background->workers, &background->work, pause);
}

void rext4_shim_background_stop(struct rext4_background *background)
{
	cancel_delayed_work_sync(&background->work);
}

void rext4_shim_background_restart(struct rext4_background *background)
{
	if (background->sb)
		queue_delayed_work(background->workers, &background->work, 0);
}

struct super_block *rext4_shim_background_sb(struct work_struct *work)
{
	return container_of(to_delayed_work(work), struct rext4_background,
			    work)->sb;
}

void rext4_shim_background_again(struct work_struct *work, unsigned long pause)
{
	struct rext4_background *background =
		container_of(to_delayed_work(work), struct rext4_background, work);

	queue_delayed_work(background->workers, &background->work, pause);
}
