/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Process ids, the path of a file and the arguments of a process, written into an event.
 */
#pragma once
#include "event.h"

/* Set before loading. */
const volatile u32 agent_pid_namespace = 0;

#define PATH_COMPONENTS 40

struct pids {
	u32 agents; /* in the agent's pid namespace; 0 when it has none there */
	u32 inner;  /* in the process's own */
};

INLINE struct pids pids_of(struct task_struct *leader)
{
	struct pids found = {};
	struct pid *pid = FIELD(leader, thread_pid);
	u32 level = FIELD(pid, level);
	void *numbers = (void *)&pid->numbers;

	for (u32 i = 0; i < 8 && i <= level; i++) {
		struct upid *number = numbers + i * SIZE_OF(struct upid);
		struct pid_namespace *space = FIELD(number, ns);
		u32 nr = FIELD(number, nr);
		if (FIELD(space, ns.inum) == agent_pid_namespace)
			found.agents = nr;
		found.inner = nr;
	}
	return found;
}

/* The components of a file's path up to the root of the mount namespace, leaf first. */
INLINE void write_path(struct event *event, struct task_struct *task, struct file *file)
{
	struct dentry *dentry = FIELD(file, f_path.dentry);
	struct vfsmount *view = FIELD(file, f_path.mnt);
	struct mount *mount = (void *)view - OFFSET_OF(struct mount, mnt);
	struct dentry *root = FIELD(view, mnt_root);
	u32 length = 0;
	u32 done = 0;

	for (u32 i = 0; i < PATH_COMPONENTS; i++) {
		if (dentry == root) {
			struct mount *above = FIELD(mount, mnt_parent);
			if (above == mount) {
				done = 1;
				break;
			}
			dentry = FIELD(mount, mnt_mountpoint);
			mount = above;
			root = FIELD(mount, mnt.mnt_root);
			continue;
		}
		struct dentry *up = FIELD(dentry, d_parent);
		if (up == dentry) {
			done = 1;
			break;
		}
		if (length >= PATH_BYTES)
			break;
		long written = read_kernel_str(&event->text[length], COMPONENT_BYTES, FIELD(dentry, d_name.name));
		if (written <= 0 || written > COMPONENT_BYTES)
			break;
		length += written;
		dentry = up;
	}
	if (!done || length > PATH_BYTES)
		event->flags |= FLAG_PATH_CUT;
	struct nsproxy *spaces = FIELD(task, nsproxy);
	if (done && FIELD(mount, mnt_ns) != FIELD(spaces, mnt_ns))
		event->flags |= FLAG_OUTSIDE;
	event->path_bytes = length;
}

INLINE void write_arguments(struct event *event, struct task_struct *task)
{
	struct mm_struct *memory = FIELD(task, mm);
	unsigned long start = FIELD(memory, arg_start);
	u64 size = FIELD(memory, arg_end) - start;
	u32 at = event->path_bytes;

	if (size > ARGS_BYTES) {
		size = ARGS_BYTES;
		event->flags |= FLAG_ARGS_CUT;
	}
	if (at > PATH_BYTES || size == 0)
		return;
	if (read_user(&event->text[at], (u32)size & 511, (void *)start) == 0)
		event->args_bytes = size;
}
