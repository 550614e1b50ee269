/* SPDX-License-Identifier: (GPL-2.0-only OR MIT) */
/*
 * Whose a process is: the container named by its cgroup, or by one above it.
 */
#pragma once
#include "event.h"

/* Set before loading. */
const volatile u32 host_mount_namespace = 0;

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
