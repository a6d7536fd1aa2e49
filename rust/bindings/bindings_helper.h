/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel headers that rext4 uses. What bindgen makes of them is limited by
 * allowlist.txt; what it can't translate is wrapped in shims.c.
 */

#include <linux/buffer_head.h>
#include <linux/file.h>
#include <linux/fileattr.h>
#include <linux/filelock.h>
#include <linux/fs.h>
#include <linux/quotaops.h>
#include <linux/xattr.h>
#include <linux/writeback.h>
#include <linux/uio.h>
#include <linux/statfs.h>
#include <linux/stat.h>
#include <linux/seq_file.h>
#include <linux/random.h>
#include <linux/posix_acl.h>
#include <linux/pagemap.h>
#include <linux/namei.h>
#include <linux/magic.h>
#include <linux/fiemap.h>
#include <linux/exportfs.h>
#include <linux/falloc.h>
#include <linux/dcache.h>
#include <linux/crc32.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/iomap.h>
#include <linux/iversion.h>
#include <linux/jbd2.h>

#include <uapi/linux/ext4.h>
#include <uapi/linux/fsmap.h>

#include "shims.h"
#include "shims_quota.h"

/* Constants whose macros bindgen can't evaluate. */
static const unsigned int REXT4_SB_RDONLY = SB_RDONLY;
static const unsigned int REXT4_SB_SILENT = SB_SILENT;
static const unsigned int REXT4_SB_POSIXACL = SB_POSIXACL;
static const unsigned int REXT4_SB_I_VERSION = SB_I_VERSION;
static const int REXT4_IOCB_APPEND = (__force int)IOCB_APPEND;
static const int REXT4_IOCB_NOWAIT = (__force int)IOCB_NOWAIT;
static const int REXT4_IOCB_SYNC = (__force int)(IOCB_DSYNC | IOCB_SYNC);
static const int REXT4_IOCB_DIRECT = (__force int)IOCB_DIRECT;
static const int REXT4_IOCB_HIPRI = (__force int)IOCB_HIPRI;
static const int REXT4_IOCB_ATOMIC = (__force int)IOCB_ATOMIC;
static const unsigned int REXT4_I_CTIME_QUERIED = I_CTIME_QUERIED;
static const unsigned int REXT4_IOMAP_F_DIRTY = IOMAP_F_DIRTY;
static const unsigned int REXT4_IOMAP_F_ATOMIC_BIO = IOMAP_F_ATOMIC_BIO;
static const unsigned int REXT4_IOMAP_ZERO = IOMAP_ZERO;
static const unsigned int REXT4_IOMAP_WRITE = IOMAP_WRITE;
static const unsigned int REXT4_IOMAP_FAULT = IOMAP_FAULT;
static const unsigned int REXT4_IOMAP_NOWAIT = IOMAP_NOWAIT;
static const unsigned int REXT4_IOMAP_ATOMIC = IOMAP_ATOMIC;
static const unsigned int REXT4_IOMAP_DIO_FORCE_WAIT = IOMAP_DIO_FORCE_WAIT;
static const unsigned int REXT4_VM_FAULT_SIGBUS = (__force unsigned int)VM_FAULT_SIGBUS;
static const unsigned int REXT4_IOEND_UNWRITTEN = IOMAP_IOEND_UNWRITTEN;
static const unsigned int REXT4_IOEND_DONTCACHE = IOMAP_IOEND_DONTCACHE;
static const unsigned int REXT4_ENOIOCTLCMD = ENOIOCTLCMD;
static const unsigned int REXT4_GETVERSION = FS_IOC_GETVERSION;
static const unsigned int REXT4_SETVERSION = FS_IOC_SETVERSION;
static const unsigned int REXT4_GETVERSION32 = FS_IOC32_GETVERSION;
static const unsigned int REXT4_SETVERSION32 = FS_IOC32_SETVERSION;
static const unsigned int REXT4_EXT4_GETVERSION = EXT4_IOC_GETVERSION;
static const unsigned int REXT4_EXT4_SETVERSION = EXT4_IOC_SETVERSION;
static const unsigned int REXT4_EXT4_GETVERSION32 = _IOR('f', 3, int);
static const unsigned int REXT4_EXT4_SETVERSION32 = _IOW('f', 4, int);
static const unsigned int REXT4_EXT4_GETFSUUID = EXT4_IOC_GETFSUUID;
static const unsigned int REXT4_EXT4_SETFSUUID = EXT4_IOC_SETFSUUID;
static const unsigned int REXT4_GET_TUNE = EXT4_IOC_GET_TUNE_SB_PARAM;
static const unsigned int REXT4_SET_TUNE = EXT4_IOC_SET_TUNE_SB_PARAM;
static const unsigned int REXT4_GETFSLABEL = FS_IOC_GETFSLABEL;
static const unsigned int REXT4_SETFSLABEL = FS_IOC_SETFSLABEL;
static const unsigned int REXT4_FITRIM = FITRIM;
static const unsigned int REXT4_SHUTDOWN = EXT4_IOC_SHUTDOWN;
static const unsigned int REXT4_CHECKPOINT = EXT4_IOC_CHECKPOINT;
static const unsigned int REXT4_GETFSMAP = FS_IOC_GETFSMAP;
static const unsigned int REXT4_GROUP_EXTEND = EXT4_IOC_GROUP_EXTEND;
static const unsigned int REXT4_GROUP_ADD = EXT4_IOC_GROUP_ADD;
static const unsigned int REXT4_RESIZE_FS = EXT4_IOC_RESIZE_FS;
static const unsigned int REXT4_MIGRATE = EXT4_IOC_MIGRATE;
static const unsigned int REXT4_MOVE_EXT = EXT4_IOC_MOVE_EXT;
static const unsigned int REXT4_PRECACHE_EXTENTS = EXT4_IOC_PRECACHE_EXTENTS;
static const unsigned int REXT4_CLEAR_ES_CACHE = EXT4_IOC_CLEAR_ES_CACHE;
static const unsigned int REXT4_GETSTATE = EXT4_IOC_GETSTATE;
static const unsigned int REXT4_GET_ES_CACHE = EXT4_IOC_GET_ES_CACHE;
static const unsigned int REXT4_FMODE_READ = (__force unsigned int)FMODE_READ;
static const unsigned int REXT4_FMODE_WRITE = (__force unsigned int)FMODE_WRITE;
static const unsigned int REXT4_TASK_COMM_LEN = TASK_COMM_LEN;
static const unsigned int REXT4_S_NOSEC = S_NOSEC;
static const fop_flags_t REXT4_FOP_DIO_PARALLEL_WRITE = FOP_DIO_PARALLEL_WRITE;
static const fop_flags_t REXT4_FOP_DONTCACHE = FOP_DONTCACHE;
static const fop_flags_t REXT4_FOP_BUFFER_RASYNC = FOP_BUFFER_RASYNC;
static const fop_flags_t REXT4_FOP_BUFFER_WASYNC = FOP_BUFFER_WASYNC;
