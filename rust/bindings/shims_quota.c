// SPDX-License-Identifier: GPL-2.0
/* Shims for quotas. */
#include <linux/fs.h>
#include <linux/lockdep.h>
#include <linux/minmax.h>
#include <linux/quota.h>
#include <linux/quotaops.h>
#include <linux/rwsem.h>
#include <linux/statfs.h>

#include "shims_quota.h"

int rext4_shim_quota_initialize(struct inode *inode)
{
	return dquot_initialize(inode);
}

bool rext4_shim_quota_initialize_needed(struct inode *inode)
{
	return dquot_initialize_needed(inode);
}

void rext4_shim_quota_drop(struct inode *inode)
{
	dquot_drop(inode);
}

bool rext4_shim_quota_is_exempt(struct inode *inode)
{
	return IS_NOQUOTA(inode);
}

int rext4_shim_quota_reserve(struct inode *inode, u64 bytes)
{
	return __dquot_alloc_space(inode, bytes,
				   DQUOT_SPACE_WARN | DQUOT_SPACE_RESERVE);
}

void rext4_shim_quota_unreserve(struct inode *inode, u64 bytes)
{
	__dquot_free_space(inode, bytes, DQUOT_SPACE_RESERVE);
}

void rext4_shim_quota_claim(struct inode *inode, u64 bytes)
{
	dquot_claim_space_nodirty(inode, bytes);
}

/*
 * What can be refused is refused before anything is counted. Any other error is
 * of an entry that could not be written, when all was counted in memory:
 * nothing has to be undone, and write_dquot() has told of it.
 */
static int refusal(int err)
{
	return err == -EDQUOT ? err : 0;
}

int rext4_shim_quota_charge(struct inode *inode, u64 bytes, bool always)
{
	int flags = DQUOT_SPACE_WARN | (always ? DQUOT_SPACE_NOFAIL : 0);

	return refusal(__dquot_alloc_space(inode, bytes, flags));
}

void rext4_shim_quota_free(struct inode *inode, u64 bytes)
{
	__dquot_free_space(inode, min_t(u64, bytes, inode_get_bytes(inode)), 0);
}

int rext4_shim_quota_count_inode(struct inode *inode)
{
	return refusal(dquot_alloc_inode(inode));
}

void rext4_shim_quota_uncount_inode(struct inode *inode)
{
	dquot_free_inode(inode);
}

bool rext4_shim_quota_loaded(struct super_block *sb)
{
	return sb_any_quota_loaded(sb);
}

bool rext4_shim_quota_kind_loaded(struct super_block *sb, int kind)
{
	return sb_has_quota_loaded(sb, kind);
}

bool rext4_shim_quota_kind_has_limits(struct super_block *sb, int kind)
{
	return sb_has_quota_limits_enabled(sb, kind);
}

bool rext4_shim_quota_suspended(struct super_block *sb)
{
	return sb_any_quota_suspended(sb);
}

int rext4_shim_quota_suspend(struct super_block *sb)
{
	return dquot_suspend(sb, -1);
}

int rext4_shim_quota_resume(struct super_block *sb)
{
	return dquot_resume(sb, -1);
}

#ifdef CONFIG_QUOTA

void rext4_shim_quota_offer(struct super_block *sb,
			    const struct dquot_operations *operations,
			    const struct quotactl_ops *control)
{
	sb->dq_op = operations;
	sb->s_qcop = control ? control : &dquot_quotactl_sysfile_ops;
	sb->s_quota_types = QTYPE_MASK_USR | QTYPE_MASK_GRP | QTYPE_MASK_PRJ;
	/* Each change is written at once, so none is kept in a list. */
	sb_dqopt(sb)->flags |= DQUOT_NOLIST_DIRTY;
}

int rext4_shim_quota_load(struct inode *file, int kind, bool limits)
{
	unsigned int flags = DQUOT_USAGE_ENABLED;

	if (limits)
		flags |= DQUOT_LIMITS_ENABLED;
	sb_dqopt(file->i_sb)->flags |= DQUOT_QUOTA_SYS_FILE;
	file->i_flags |= S_NOQUOTA;
	return dquot_load_quota_inode(file, kind, QFMT_VFS_V1, flags);
}

int rext4_shim_quota_load_named(struct inode *file, int kind, int format)
{
	return dquot_load_quota_inode(file, kind, format, DQUOT_USAGE_ENABLED |
				      DQUOT_LIMITS_ENABLED);
}

int rext4_shim_quota_on(struct super_block *sb, int kind, int format,
			const struct path *path)
{
	return dquot_quota_on(sb, kind, format, path);
}

int rext4_shim_quota_off(struct super_block *sb, int kind)
{
	return dquot_quota_off(sb, kind);
}

int rext4_shim_quota_heed(struct super_block *sb, int kind, bool heeded)
{
	static const unsigned int limits[MAXQUOTAS] = {
		[USRQUOTA] = FS_QUOTA_UDQ_ENFD,
		[GRPQUOTA] = FS_QUOTA_GDQ_ENFD,
		[PRJQUOTA] = FS_QUOTA_PDQ_ENFD,
	};

	return heeded ? sb->s_qcop->quota_enable(sb, limits[kind]) :
			sb->s_qcop->quota_disable(sb, limits[kind]);
}

struct inode *rext4_shim_quota_file(struct super_block *sb, int kind)
{
	return sb_dqopt(sb)->files[kind];
}

int rext4_shim_dquot_commit(struct dquot *dquot)
{
	return dquot_commit(dquot);
}

int rext4_shim_dquot_acquire(struct dquot *dquot)
{
	return dquot_acquire(dquot);
}

int rext4_shim_dquot_release(struct dquot *dquot)
{
	return dquot_release(dquot);
}

void rext4_shim_dquot_forget(struct dquot *dquot)
{
	mutex_lock(&dquot->dq_lock);
	if (!dquot_is_busy(dquot))
		clear_bit(DQ_ACTIVE_B, &dquot->dq_flags);
	mutex_unlock(&dquot->dq_lock);
}

void rext4_shim_dquot_mark_dirty(struct dquot *dquot)
{
	dquot_mark_dquot_dirty(dquot);
}

int rext4_shim_dquot_commit_info(struct super_block *sb, int kind)
{
	return dquot_commit_info(sb, kind);
}

struct dquot *rext4_shim_dquot_alloc(struct super_block *sb, int kind)
{
	return dquot_alloc(sb, kind);
}

void rext4_shim_dquot_destroy(struct dquot *dquot)
{
	dquot_destroy(dquot);
}

int rext4_shim_dquot_get_next_id(struct super_block *sb, struct kqid *id)
{
	return dquot_get_next_id(sb, id);
}

bool rext4_shim_quota_has_limits(struct super_block *sb)
{
	return dquot_state_types(sb_dqopt(sb)->flags, DQUOT_LIMITS_ENABLED);
}

bool rext4_shim_transfer_needed(struct mnt_idmap *idmap, struct inode *inode,
				struct iattr *change)
{
	return sb_any_quota_loaded(inode->i_sb) &&
	       (i_uid_needs_update(idmap, change, inode) ||
		i_gid_needs_update(idmap, change, inode));
}

/* Kinds that nobody counts (any more) are left out. */
static int transfer_to(struct rext4_transfer *transfer, struct inode *inode,
		       struct kqid id)
{
	struct dquot *dquot = dqget(inode->i_sb, id);

	if (!IS_ERR(dquot))
		transfer->to[id.type] = dquot;
	else if (PTR_ERR(dquot) != -ESRCH)
		return PTR_ERR(dquot);
	return 0;
}

int rext4_shim_transfer_to_owner(struct rext4_transfer *transfer,
				 struct mnt_idmap *idmap, struct inode *inode,
				 struct iattr *change)
{
	struct user_namespace *ns = i_user_ns(inode);
	int err = 0;

	memset(transfer, 0, sizeof(*transfer));
	if (i_uid_needs_update(idmap, change, inode))
		err = transfer_to(transfer, inode, make_kqid_uid(
				from_vfsuid(idmap, ns, change->ia_vfsuid)));
	if (!err && i_gid_needs_update(idmap, change, inode))
		err = transfer_to(transfer, inode, make_kqid_gid(
				from_vfsgid(idmap, ns, change->ia_vfsgid)));
	if (err)
		rext4_shim_transfer_end(transfer);
	return err;
}

int rext4_shim_transfer_to_project(struct rext4_transfer *transfer,
				   struct inode *inode, u32 project)
{
	memset(transfer, 0, sizeof(*transfer));
	return transfer_to(transfer, inode, make_kqid_projid(
				   make_kprojid(&init_user_ns, project)));
}

int rext4_shim_transfer_carry_out(struct rext4_transfer *transfer,
				  struct inode *inode)
{
	return refusal(__dquot_transfer(inode, transfer->to));
}

void rext4_shim_transfer_end(struct rext4_transfer *transfer)
{
	int kind;

	/* After it was carried out, those that the inode was counted to. */
	for (kind = 0; kind < MAXQUOTAS; kind++)
		dqput(transfer->to[kind]);
	memset(transfer, 0, sizeof(*transfer));
}

/* What is left of a limit, which is not zero. */
static u64 left_of(u64 limit, u64 used)
{
	return limit > used ? limit - used : 0;
}

int rext4_shim_quota_statfs(struct super_block *sb, u32 project,
			    struct kstatfs *stat)
{
	struct kqid id = make_kqid_projid(make_kprojid(&init_user_ns, project));
	struct mem_dqblk *block;
	struct dquot *dquot;
	u64 limit;

	if (!sb_has_quota_limits_enabled(sb, PRJQUOTA))
		return 0;
	dquot = dqget(sb, id);
	if (IS_ERR(dquot))
		return PTR_ERR(dquot);
	block = &dquot->dq_dqb;
	spin_lock(&dquot->dq_dqb_lock);
	limit = min_not_zero(block->dqb_bsoftlimit, block->dqb_bhardlimit) >>
		sb->s_blocksize_bits;
	if (limit) {
		u64 used = (block->dqb_curspace + block->dqb_rsvspace) >>
			   sb->s_blocksize_bits;
		u64 left = left_of(limit, used);

		stat->f_blocks = min(limit, stat->f_blocks);
		stat->f_bfree = min(left, stat->f_bfree);
		stat->f_bavail = min(left, stat->f_bavail);
	}
	limit = min_not_zero(block->dqb_isoftlimit, block->dqb_ihardlimit);
	if (limit) {
		stat->f_files = min(limit, stat->f_files);
		stat->f_ffree = min(left_of(limit, block->dqb_curinodes),
				    stat->f_ffree);
	}
	spin_unlock(&dquot->dq_dqb_lock);
	dqput(dquot);
	return 0;
}

#else /* !CONFIG_QUOTA: file systems with the feature are not written to. */

void rext4_shim_quota_offer(struct super_block *sb,
			    const struct dquot_operations *operations,
			    const struct quotactl_ops *control)
{
}

int rext4_shim_quota_load(struct inode *file, int kind, bool limits)
{
	return -EOPNOTSUPP;
}

int rext4_shim_quota_load_named(struct inode *file, int kind, int format)
{
	return -EOPNOTSUPP;
}

int rext4_shim_quota_on(struct super_block *sb, int kind, int format,
			const struct path *path)
{
	return -EOPNOTSUPP;
}

int rext4_shim_quota_off(struct super_block *sb, int kind)
{
	return 0;
}

int rext4_shim_quota_heed(struct super_block *sb, int kind, bool heeded)
{
	return -EOPNOTSUPP;
}

struct inode *rext4_shim_quota_file(struct super_block *sb, int kind)
{
	return NULL;
}

int rext4_shim_dquot_commit(struct dquot *dquot)
{
	return -EOPNOTSUPP;
}

int rext4_shim_dquot_acquire(struct dquot *dquot)
{
	return -EOPNOTSUPP;
}

int rext4_shim_dquot_release(struct dquot *dquot)
{
	return -EOPNOTSUPP;
}

void rext4_shim_dquot_forget(struct dquot *dquot)
{
}

void rext4_shim_dquot_mark_dirty(struct dquot *dquot)
{
}

int rext4_shim_dquot_commit_info(struct super_block *sb, int kind)
{
	return -EOPNOTSUPP;
}

struct dquot *rext4_shim_dquot_alloc(struct super_block *sb, int kind)
{
	return NULL;
}

void rext4_shim_dquot_destroy(struct dquot *dquot)
{
}

int rext4_shim_dquot_get_next_id(struct super_block *sb, struct kqid *id)
{
	return -EOPNOTSUPP;
}

bool rext4_shim_quota_has_limits(struct super_block *sb)
{
	return false;
}

bool rext4_shim_transfer_needed(struct mnt_idmap *idmap, struct inode *inode,
				struct iattr *change)
{
	return false;
}

int rext4_shim_transfer_to_owner(struct rext4_transfer *transfer,
				 struct mnt_idmap *idmap, struct inode *inode,
				 struct iattr *change)
{
	return 0;
}

int rext4_shim_transfer_to_project(struct rext4_transfer *transfer,
				   struct inode *inode, u32 project)
{
	return 0;
}

int rext4_shim_transfer_carry_out(struct rext4_transfer *transfer,
				  struct inode *inode)
{
	return 0;
}

void rext4_shim_transfer_end(struct rext4_transfer *transfer)
{
}

int rext4_shim_quota_statfs(struct super_block *sb, u32 project,
			    struct kstatfs *stat)
{
	return 0;
}

#endif

bool rext4_shim_is_frozen(struct super_block *sb)
{
	return READ_ONCE(sb->s_writers.frozen) == SB_FREEZE_COMPLETE;
}

void rext4_shim_set_owner_of(struct mnt_idmap *idmap, struct inode *inode,
			     struct iattr *change)
{
	umode_t mode = change->ia_mode;

	i_uid_update(idmap, change, inode);
	i_gid_update(idmap, change, inode);
	if (change->ia_valid & ATTR_MODE) {
		/* As setattr_copy() does it. */
		if (!in_group_or_capable(idmap, inode,
					 i_gid_into_vfsgid(idmap, inode)))
			mode &= ~S_ISGID;
		/* Who may execute it is changed later, together with an ACL. */
		if ((mode ^ inode->i_mode) & 0777)
			mode &= ~(S_ISUID | S_ISGID);
		inode->i_mode = (inode->i_mode & ~07000) | (mode & 07000);
	}
	inode_set_ctime_current(inode);
}

/* Not lockdep_set_subclass(), which gives the class another name. */
void rext4_shim_rwsem_is_inner(struct rw_semaphore *sem, bool inner)
{
#ifdef CONFIG_DEBUG_LOCK_ALLOC
	struct lockdep_map *map = &sem->dep_map;

	lockdep_init_map_type(map, map->name, map->key,
			      inner ? SINGLE_DEPTH_NESTING : 0,
			      map->wait_type_inner, map->wait_type_outer,
			      map->lock_type);
#endif
}
