/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shims for quotas, for rust/vfs/quota.rs. Without CONFIG_QUOTA they do what
 * there is to be done where nothing is counted.
 */
#ifndef REXT4_SHIMS_QUOTA_H
#define REXT4_SHIMS_QUOTA_H

#include <linux/fs.h>
#include <linux/quota.h>
#include <linux/rwsem.h>
#include <linux/statfs.h>

/*
 * Has the super block offer quotas; without `control`, those that are kept in
 * files without names.
 */
void rext4_shim_quota_offer(struct super_block *sb,
			    const struct dquot_operations *operations,
			    const struct quotactl_ops *control);
int rext4_shim_quota_load(struct inode *file, int kind, bool limits);
int rext4_shim_quota_load_named(struct inode *file, int kind, int format);
int rext4_shim_quota_on(struct super_block *sb, int kind, int format,
			const struct path *path);
bool rext4_shim_quota_loaded(struct super_block *sb);
bool rext4_shim_quota_kind_loaded(struct super_block *sb, int kind);
bool rext4_shim_quota_kind_has_limits(struct super_block *sb, int kind);
/* Has limits of a kind heeded, or not; with s_umount held. */
int rext4_shim_quota_heed(struct super_block *sb, int kind, bool heeded);
bool rext4_shim_quota_suspended(struct super_block *sb);
int rext4_shim_quota_suspend(struct super_block *sb);
int rext4_shim_quota_resume(struct super_block *sb);
int rext4_shim_quota_off(struct super_block *sb, int kind);
struct inode *rext4_shim_quota_file(struct super_block *sb, int kind);

int rext4_shim_dquot_commit(struct dquot *dquot);
int rext4_shim_dquot_acquire(struct dquot *dquot);
int rext4_shim_dquot_release(struct dquot *dquot);
/* The same without a change of the file. */
void rext4_shim_dquot_forget(struct dquot *dquot);
void rext4_shim_dquot_mark_dirty(struct dquot *dquot);
int rext4_shim_dquot_commit_info(struct super_block *sb, int kind);
struct dquot *rext4_shim_dquot_alloc(struct super_block *sb, int kind);
void rext4_shim_dquot_destroy(struct dquot *dquot);
int rext4_shim_dquot_get_next_id(struct super_block *sb, struct kqid *id);

int rext4_shim_quota_initialize(struct inode *inode);
bool rext4_shim_quota_initialize_needed(struct inode *inode);
void rext4_shim_quota_drop(struct inode *inode);
bool rext4_shim_quota_is_exempt(struct inode *inode);

int rext4_shim_quota_reserve(struct inode *inode, u64 bytes);
void rext4_shim_quota_unreserve(struct inode *inode, u64 bytes);
void rext4_shim_quota_claim(struct inode *inode, u64 bytes);
int rext4_shim_quota_charge(struct inode *inode, u64 bytes, bool always);
/* Down to zero: what the inode has on disk may be wrong. */
void rext4_shim_quota_free(struct inode *inode, u64 bytes);
int rext4_shim_quota_count_inode(struct inode *inode);
void rext4_shim_quota_uncount_inode(struct inode *inode);
bool rext4_shim_quota_has_limits(struct super_block *sb);

/* To whom an inode is to be counted from now on, for each kind that changes. */
struct rext4_transfer {
	struct dquot *to[MAXQUOTAS];
};

/* Whether the change gives the inode another owner, and owners are counted. */
bool rext4_shim_transfer_needed(struct mnt_idmap *idmap, struct inode *inode,
				struct iattr *change);
int rext4_shim_transfer_to_owner(struct rext4_transfer *transfer,
				 struct mnt_idmap *idmap, struct inode *inode,
				 struct iattr *change);
int rext4_shim_transfer_to_project(struct rext4_transfer *transfer,
				   struct inode *inode, u32 project);
int rext4_shim_transfer_carry_out(struct rext4_transfer *transfer,
				  struct inode *inode);
void rext4_shim_transfer_end(struct rext4_transfer *transfer);
/* Whether everything is written, and nothing may be until it is thawed. */
bool rext4_shim_is_frozen(struct super_block *sb);

/*
 * Owner and group, and what they go with: no bit of set-user-ID or set-group-ID
 * that was there for those before. The rest of the mode stays as it is.
 */
void rext4_shim_set_owner_of(struct mnt_idmap *idmap, struct inode *inode,
			     struct iattr *change);

/* The lock is taken while another of its class is held; or not any more. */
void rext4_shim_rwsem_is_inner(struct rw_semaphore *sem, bool inner);

/* Has what is free be no more than what a project may still have. */
int rext4_shim_quota_statfs(struct super_block *sb, u32 project,
			    struct kstatfs *stat);

#endif
