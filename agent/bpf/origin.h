/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Where an executed or mapped file comes from: the image, or somewhere else. Told at the moment of the event: a file that is
 * written, executed and deleted at once leaves nothing to look at later.
 */
#pragma once
#include "event.h"

#define OVERLAY_MAGIC 0x794c7630
#define TMPFS_MAGIC 0x01021994

/* The overlay's own inode is followed by the dentry in the upper layer (struct ovl_inode, since 4.13). */
INLINE int is_upper(struct inode *inode)
{
	void *upper = 0;
	read_kernel(&upper, sizeof(upper), (void *)inode + SIZE_OF(struct inode));
	return upper != 0;
}

/* After the path was written. */
INLINE void write_origin(struct event *event, struct task_struct *task, struct file *file)
{
	struct inode *inode = FIELD(file, f_inode);
	struct super_block *system = FIELD(inode, i_sb);
	struct fs_struct *places = FIELD(task, fs);
	struct vfsmount *root = FIELD(places, root.mnt);
	unsigned long magic = FIELD(system, s_magic);
	unsigned int links = 1;

	read_kernel(&links, sizeof(links), &inode->i_nlink);
	if (links == 0)
		event->flags |= FLAG_DELETED;
	if (magic == OVERLAY_MAGIC && is_upper(inode))
		event->flags |= FLAG_UPPER;
	if (FIELD(root, mnt_sb) != system)
		event->flags |= FLAG_VOLUME;
	if (magic == TMPFS_MAGIC && event->flags & FLAG_OUTSIDE) {
		event->flags |= FLAG_MEMORY;
		/* It stands in no folder; its name is all there is. */
		struct dentry *dentry = FIELD(file, f_path.dentry);
		long written = read_kernel_str(event->text, COMPONENT_BYTES, FIELD(dentry, d_name.name));
		event->path_bytes = written > 0 && written <= COMPONENT_BYTES ? written : 0;
	}
}
