// SPDX-License-Identifier: (GPL-2.0-only OR MIT)
/*
 * Which programs start in containers, and which files they map executable.
 *
 *   sched_process_exec ──┐
 *   security_mmap_file ──┼── container? ── new file? ── event ──► ring
 *   sched_process_exit ──┘
 *
 * Everything that identifies a container is captured here: a look-up later would race with its end.
 */
#include "event.h"

/* Set before loading. */
const volatile u32 agent_pid_namespace = 0;
const volatile u32 host_mount_namespace = 0;
const volatile u32 deduplicate = 1;

struct {
	MAP_TYPE(RING_BUFFER);
	MAP_ENTRIES(4 * 1024 * 1024);
} events SEC(".maps");

struct {
	MAP_TYPE(PER_CPU_ARRAY);
	MAP_ENTRIES(COUNTERS);
	u32 *key;
	u64 *value;
} counters SEC(".maps");

/* Files that were sent, by container. */
struct file_key {
	u64 container;
	u64 inode;
	u64 device;
};

struct {
	MAP_TYPE(LRU_HASH);
	MAP_ENTRIES(65536);
	struct file_key *key;
	u8 *value;
} seen SEC(".maps");

/* The first process of each container (in the agent's pid namespace); its exit is the container's. */
struct {
	MAP_TYPE(LRU_HASH);
	MAP_ENTRIES(8192);
	u64 *key;
	u32 *value;
} first_process SEC(".maps");

/* Events lost, by container; read and emptied by the agent. */
struct {
	MAP_TYPE(LRU_HASH);
	MAP_ENTRIES(8192);
	u64 *key;
	u64 *value;
} gaps SEC(".maps");

/* What a cgroup is: whose container, and how many levels above it that container's own cgroup stands. */
struct cgroup_key {
	u64 id;
	u64 hierarchy;
};

struct membership {
	u64 container; /* 0: none */
	u64 level;
};

struct {
	MAP_TYPE(LRU_HASH);
	MAP_ENTRIES(8192);
	struct cgroup_key *key;
	struct membership *value;
} memberships SEC(".maps");

/* How far above a process's cgroup that of its container may be: runtimes and init systems nest. */
#define NESTING 6
#define ID_DIGITS 64
#define PATH_COMPONENTS 40

INLINE void count(u32 which)
{
	/* Atomic though per CPU: on newer kernels a program may be preempted by another task's. */
	u64 *value = map_lookup(&counters, &which);
	if (value)
		__sync_fetch_and_add(value, 1);
}

/* The leading 64 bits of a name that ends in 64 hex digits (before an optional ".scope"), else 0. */
INLINE u64 container_key(const char *name, u32 length)
{
	static const char scope[] = ".scope";
	u32 end = length;

	if (end >= ID_DIGITS + 6 && end < NAME_BYTES) {
		u32 same = 0;
		for (u32 i = 0; i < 6; i++)
			if (name[(end - 6 + i) & 255] == scope[i])
				same++;
		if (same == 6)
			end -= 6;
	}
	if (end < ID_DIGITS || end >= NAME_BYTES)
		return 0;
	u32 start = end - ID_DIGITS;
	if (start > 0) {
		char before = name[(start - 1) & 255];
		if (before != '-' && before != ':')
			return 0;
	}
	u64 key = 0;
	for (u32 i = 0; i < ID_DIGITS; i++) {
		char c = name[(start + i) & 255];
		u64 digit;
		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if (c >= 'a' && c <= 'f')
			digit = c - 'a' + 10;
		else
			return 0;
		if (i < 16)
			key = key << 4 | digit;
	}
	return key;
}

INLINE struct cgroup *parent_of(struct cgroup *group)
{
	struct cgroup_subsys_state *above = FIELD(group, self.parent);
	return above ? FIELD(above, cgroup) : 0;
}

INLINE struct membership find_membership(struct cgroup *group)
{
	struct membership found = {};
	char name[256];

	for (u32 level = 0; level < NESTING && group; level++) {
		struct kernfs_node *node = FIELD(group, kn);
		const char *text = FIELD(node, name);
		long length = read_kernel_str(name, NAME_BYTES, text);
		if (length > ID_DIGITS && length <= NAME_BYTES) {
			u64 key = container_key(name, (u32)length - 1);
			if (key) {
				found.container = key;
				found.level = level;
				return found;
			}
		}
		group = parent_of(group);
	}
	return found;
}

/* The container `group` belongs to, remembered by the group's identity. */
INLINE struct membership membership_of(struct cgroup *group, u64 hierarchy)
{
	struct membership none = {};
	if (!group)
		return none;
	struct kernfs_node *node = FIELD(group, kn);
	struct cgroup_key key = { .id = FIELD(node, id), .hierarchy = hierarchy };
	struct membership *known = map_lookup(&memberships, &key);
	if (known)
		return *known;
	struct membership found = find_membership(group);
	map_update(&memberships, &key, &found, UPDATE_ANY);
	return found;
}

INLINE struct cgroup *group_in(struct css_set *set, u64 subsystem)
{
	struct cgroup_subsys_state *state = 0;
	read_kernel(&state, sizeof(state), (void *)&set->subsys + subsystem * sizeof(void *));
	return state ? FIELD(state, cgroup) : 0;
}

struct home {
	struct cgroup *group; /* the container's own */
	u64 container;
};

/* The default hierarchy first; then those a runtime always makes where version 1 is mounted. */
INLINE struct home home_of(struct task_struct *task)
{
	struct home home = {};
	struct css_set *set = FIELD(task, cgroups);
	struct cgroup *group = FIELD(set, dfl_cgrp);
	struct membership member = membership_of(group, 0);

	if (!member.container && ENUM_EXISTS(enum cgroup_subsys_id, memory_cgrp_id)) {
		group = group_in(set, ENUM_VALUE(enum cgroup_subsys_id, memory_cgrp_id));
		member = membership_of(group, 1);
	}
	if (!member.container && ENUM_EXISTS(enum cgroup_subsys_id, pids_cgrp_id)) {
		group = group_in(set, ENUM_VALUE(enum cgroup_subsys_id, pids_cgrp_id));
		member = membership_of(group, 2);
	}
	for (u32 level = 0; level < NESTING && level < member.level && group; level++)
		group = parent_of(group);
	home.group = group;
	home.container = member.container;
	return home;
}

/* Whether a process shares the host's mount namespace: a runtime preparing a container, not the container. */
INLINE int outside(struct task_struct *task)
{
	struct nsproxy *spaces = FIELD(task, nsproxy);
	if (!spaces)
		return 1;
	struct mnt_namespace *mounts = FIELD(spaces, mnt_ns);
	return FIELD(mounts, ns.inum) == host_mount_namespace;
}

INLINE void note_loss(u64 container)
{
	u64 one = 1;
	count(LOST_RING_FULL);
	u64 *lost = map_lookup(&gaps, &container);
	if (lost)
		__sync_fetch_and_add(lost, 1);
	else if (map_update(&gaps, &container, &one, UPDATE_ANY))
		count(LOST_UNATTRIBUTED);
}

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

INLINE struct event *reserve(u32 kind, struct task_struct *task, struct home *home)
{
	struct event *event = ring_reserve(&events, sizeof(*event), 0);
	if (!event) {
		note_loss(home->container);
		return 0;
	}
	struct task_struct *leader = FIELD(task, group_leader);
	struct kernfs_node *node = FIELD(home->group, kn);
	struct cgroup *parent = parent_of(home->group);

	event->kind = kind;
	event->flags = 0;
	event->at = boot_time_ns();
	event->started = FIELD(leader, start_boottime);
	event->container = home->container;
	event->inode = 0;
	event->device = 0;
	event->kernel_pid = current_pid_tgid() >> 32;
	event->path_bytes = 0;
	event->args_bytes = 0;
	current_comm(event->comm, sizeof(event->comm));
	struct pids pids = pids_of(leader);
	event->pid = pids.agents;
	event->inner_pid = pids.inner;
	if (read_kernel_str(event->cgroup, NAME_BYTES, FIELD(node, name)) < 0)
		event->cgroup[0] = 0;
	event->parent[0] = 0;
	if (parent) {
		struct kernfs_node *above = FIELD(parent, kn);
		if (read_kernel_str(event->parent, PARENT_BYTES, FIELD(above, name)) < 0)
			event->parent[0] = 0;
	}
	return event;
}

INLINE struct file_key key_of(struct file *file, u64 container)
{
	struct inode *inode = FIELD(file, f_inode);
	struct super_block *system = FIELD(inode, i_sb);
	struct file_key key = {
		.container = container,
		.inode = FIELD(inode, i_ino),
		.device = FIELD(system, s_dev),
	};
	return key;
}

INLINE void submit(struct event *event, struct file_key *key)
{
	u8 yes = 1;
	event->inode = key->inode;
	event->device = key->device;
	ring_submit(event, 0);
	/* Only now: a file whose event found no room must be tried again. */
	map_update(&seen, key, &yes, UPDATE_ANY);
	count(COUNT_SUBMITTED);
}

INLINE int known(struct file_key *key)
{
	return deduplicate && map_lookup(&seen, key);
}

SEC("raw_tracepoint/sched_process_exec")
int on_exec(void *ctx)
{
	struct task_struct *task = (void *)current_task();
	struct home home = home_of(task);
	if (!home.container || outside(task))
		return 0;
	count(COUNT_EXECS);

	struct mm_struct *memory = FIELD(task, mm);
	struct file *program = FIELD(memory, exe_file);
	struct file_key key = key_of(program, home.container);
	int fresh = !map_lookup(&first_process, &home.container);
	if (!fresh && known(&key)) {
		count(COUNT_REPEATED);
		return 0;
	}
	struct event *event = reserve(EVENT_EXEC, task, &home);
	if (!event)
		return 0;
	write_path(event, task, program);
	write_arguments(event, task);
	if (fresh) {
		u32 process = event->pid;
		if (map_update(&first_process, &home.container, &process, UPDATE_NEW) == 0)
			event->flags |= FLAG_FIRST;
	}
	submit(event, &key);
	return 0;
}

INLINE int on_mapping(struct file *file)
{
	struct task_struct *task = (void *)current_task();
	struct home home = home_of(task);
	if (!home.container || outside(task))
		return 0;
	count(COUNT_MAPPINGS);

	struct file_key key = key_of(file, home.container);
	if (known(&key)) {
		count(COUNT_REPEATED);
		return 0;
	}
	struct event *event = reserve(EVENT_MAP, task, &home);
	if (!event)
		return 0;
	write_path(event, task, file);
	submit(event, &key);
	return 0;
}

#define EXECUTABLE 4
#define ANONYMOUS 0x20

SEC("fentry/security_mmap_file")
int on_mmap_fentry(u64 *args)
{
	struct file *file = (void *)args[0];
	return file && (args[1] & EXECUTABLE) ? on_mapping(file) : 0;
}

SEC("lsm/mmap_file")
int on_mmap_lsm(u64 *args)
{
	struct file *file = (void *)args[0];
	if (file && (args[1] & EXECUTABLE))
		on_mapping(file);
	return 0;
}

/* The layout of a system call's entry tracepoint is the same on every architecture with 64-bit words. */
struct syscall_entry {
	u64 common;
	u64 number;
	u64 args[6];
};

SEC("tracepoint/syscalls/sys_enter_mmap")
int on_mmap_syscall(struct syscall_entry *ctx)
{
	if (!(ctx->args[2] & EXECUTABLE) || ctx->args[3] & ANONYMOUS)
		return 0;
	struct task_struct *task = (void *)current_task();
	struct files_struct *files = FIELD(task, files);
	struct fdtable *table = FIELD(files, fdt);
	u32 descriptor = ctx->args[4];
	if (descriptor >= FIELD(table, max_fds))
		return 0;
	struct file **slots = FIELD(table, fd);
	struct file *file = 0;
	read_kernel(&file, sizeof(file), slots + descriptor);
	return file ? on_mapping(file) : 0;
}

SEC("raw_tracepoint/sched_process_exit")
int on_exit(void *ctx)
{
	struct task_struct *task = (void *)current_task();
	struct signal_struct *group = FIELD(task, signal);
	if (FIELD(group, live.counter) != 0)
		return 0;
	struct home home = home_of(task);
	if (!home.container)
		return 0;
	u32 *first = map_lookup(&first_process, &home.container);
	if (!first || *first != pids_of(FIELD(task, group_leader)).agents)
		return 0;
	count(COUNT_EXITS);
	struct event *event = reserve(EVENT_EXIT, task, &home);
	if (!event)
		return 0;
	ring_submit(event, 0);
	count(COUNT_SUBMITTED);
	/* Should the container be started again, its first program is a first one once more. */
	map_delete(&first_process, &home.container);
	return 0;
}

char licence_text[] SEC("license") = "Dual MIT/GPL";
