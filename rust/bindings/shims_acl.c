// SPDX-License-Identifier: GPL-2.0
/* Shims for access control lists, and for what new inodes get from others. */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/posix_acl.h>
#include <linux/security.h>
#include <linux/xattr.h>

#include "shims.h"

bool rext4_shim_may_list_trusted(void)
{
	return ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN);
}

struct posix_acl *rext4_shim_posix_acl_alloc(unsigned int count)
{
	return posix_acl_alloc(count, GFP_NOFS);
}

void rext4_shim_posix_acl_set_entry(struct posix_acl *acl, unsigned int index,
				    unsigned int tag, unsigned short permissions,
				    unsigned int id)
{
	struct posix_acl_entry *entry = &acl->a_entries[index];

	entry->e_tag = tag;
	entry->e_perm = permissions;
	if (tag == ACL_USER)
		entry->e_uid = make_kuid(&init_user_ns, id);
	else if (tag == ACL_GROUP)
		entry->e_gid = make_kgid(&init_user_ns, id);
}

int rext4_shim_posix_acl_valid(const struct posix_acl *acl)
{
	return posix_acl_valid(&init_user_ns, acl);
}

void rext4_shim_posix_acl_release(struct posix_acl *acl)
{
	posix_acl_release(acl);
}

void rext4_shim_posix_acl_ref(struct posix_acl *acl)
{
	posix_acl_dup(acl);
}

unsigned int rext4_shim_posix_acl_count(const struct posix_acl *acl)
{
	return acl->a_count;
}

void rext4_shim_posix_acl_get_entry(const struct posix_acl *acl,
				    unsigned int index, unsigned short *tag,
				    unsigned short *permissions,
				    unsigned int *id)
{
	const struct posix_acl_entry *entry = &acl->a_entries[index];

	*tag = entry->e_tag;
	*permissions = entry->e_perm;
	if (entry->e_tag == ACL_USER)
		*id = from_kuid(&init_user_ns, entry->e_uid);
	else if (entry->e_tag == ACL_GROUP)
		*id = from_kgid(&init_user_ns, entry->e_gid);
	else
		*id = 0;
}

struct posix_acl *rext4_shim_posix_acl_after_chmod(struct inode *inode,
						   umode_t mode)
{
	struct posix_acl *acl;
	int err;

	if (!IS_POSIXACL(inode))
		return NULL;
	acl = get_inode_acl(inode, ACL_TYPE_ACCESS);
	if (IS_ERR_OR_NULL(acl))
		return acl == ERR_PTR(-EOPNOTSUPP) ? NULL : acl;
	/* Releases it, and gives another one. */
	err = __posix_acl_chmod(&acl, GFP_KERNEL, mode);
	return err ? ERR_PTR(err) : acl;
}

struct inode *rext4_shim_new_inode(struct mnt_idmap *idmap, struct inode *dir,
				   umode_t mode, bool group_of_dir,
				   struct posix_acl **access,
				   struct posix_acl **inherited)
{
	struct inode *inode;
	int err;

	/* Also what takes the umask away, where the VFS leaves that to us. */
	err = posix_acl_create(dir, &mode, inherited, access);
	if (err)
		return ERR_PTR(err);
	inode = new_inode(dir->i_sb);
	if (!inode) {
		posix_acl_release(*access);
		posix_acl_release(*inherited);
		return ERR_PTR(-ENOMEM);
	}
	if (group_of_dir) {
		inode->i_mode = mode;
		inode_fsuid_set(inode, idmap);
		inode->i_gid = dir->i_gid;
	} else {
		inode_init_owner(idmap, inode, dir, mode);
	}
	simple_inode_init_ts(inode);
	return inode;
}

struct label_sink {
	int (*put)(void *context, const char *name, const void *value,
		   size_t len);
	void *context;
};

static int put_labels(struct inode *inode, const struct xattr *labels,
		      void *data)
{
	const struct label_sink *sink = data;
	int err = 0;

	for (; labels->name && !err; labels++)
		err = sink->put(sink->context, labels->name, labels->value,
				labels->value_len);
	return err;
}

int rext4_shim_label_new_inode(struct inode *inode, struct inode *dir,
			       const struct qstr *name,
			       int (*put)(void *context, const char *name,
					  const void *value, size_t len),
			       void *context)
{
	struct label_sink sink = { .put = put, .context = context };

	return security_inode_init_security(inode, dir, name, put_labels,
					    &sink);
}
