//! Which container a cgroup belongs to, told from the names that runtimes give to cgroups.
//!
//! | runtime | systemd driver | cgroupfs driver |
//! |---|---|---|
//! | containerd (CRI) | `kubepods-burstable-pod<uid>.slice/cri-containerd-<id>.scope` | `kubepods/burstable/pod<uid>/<id>` |
//! | CRI-O | `kubepods-pod<uid>.slice/crio-<id>.scope` | `kubepods/pod<uid>/crio-<id>` |
//! | Docker | `system.slice/docker-<id>.scope` | `docker/<id>` |
//! | Podman | `machine.slice/libpod-<id>.scope` | `libpod_parent/libpod-<id>` |
//! | Podman in a service (Quadlet, `--cgroups=split`) | `system.slice/web.service/libpod-payload-<id>` | |
//!
//! Below the container's own cgroup there may be more (`container`, `init.scope`); the innermost name that fits counts.

/// A container runtime as far as a cgroup name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// containerd, through CRI or nerdctl.
    Containerd,
    /// CRI-O.
    Crio,
    /// Docker.
    Docker,
    /// Podman.
    Podman,
    /// The name is the bare id: any runtime with the cgroupfs driver.
    Unnamed,
    /// No runtime: a process that was named on the command line.
    Process,
}

impl Engine {
    /// The name on the wire and the scheme of a container id; a bare name under Kubernetes is taken as containerd's.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Containerd | Self::Unnamed => "containerd",
            Self::Crio => "cri-o",
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Process => "proc",
        }
    }
}

/// A container as its cgroup names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Membership {
    /// The runtime.
    pub engine: Engine,
    /// 64 hex digits.
    pub id: String,
    /// The pod's uid with dashes, when the cgroup stands in a pod's.
    pub pod_uid: Option<String>,
}

const ID_DIGITS: usize = 64;

/// The container named by a cgroup and the cgroup above it.
#[must_use]
pub fn from_names(leaf: &str, parent: &str) -> Option<Membership> {
    let name = leaf.strip_suffix(".scope").unwrap_or(leaf);
    let split = name.len().checked_sub(ID_DIGITS)?;
    let (prefix, id) = (name.get(..split)?, name.get(split..)?);
    if !id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return None;
    }
    // A runtime with the cgroupfs driver under a systemd kubelet writes `<slice>:cri-containerd:<id>`.
    let (slice, prefix) = prefix.strip_suffix(':').and_then(|rest| rest.rsplit_once(':')).unwrap_or((parent, prefix));
    let engine = match prefix.trim_end_matches('-') {
        "" if parent == "docker" => Engine::Docker,
        "" => Engine::Unnamed,
        "cri-containerd" | "nerdctl" => Engine::Containerd,
        "crio" => Engine::Crio,
        "docker" => Engine::Docker,
        "libpod" | "libpod-payload" => Engine::Podman,
        _ => return None,
    };
    Some(Membership { engine, id: id.to_owned(), pod_uid: pod_uid(slice) })
}

/// The container a cgroup path belongs to: the innermost component that names one.
#[must_use]
pub fn from_path(path: &str) -> Option<Membership> {
    let mut above = path.trim_end_matches('/');
    while let Some((rest, leaf)) = above.rsplit_once('/') {
        let parent = rest.rsplit_once('/').map_or(rest, |(_, name)| name);
        if let Some(found) = from_names(leaf, parent) {
            return Some(found);
        }
        above = rest;
    }
    None
}

/// The container of a process, from the text of its `/proc/PID/cgroup`.
#[must_use]
pub fn from_proc(text: &str) -> Option<Membership> {
    let paths = |wanted: fn(&str) -> bool| {
        text.lines().filter_map(move |line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            wanted(controllers).then(|| from_path(path)).flatten()
        })
    };
    let unified = |controllers: &str| controllers.is_empty();
    let always_made = |controllers: &str| controllers.split(',').any(|name| name == "memory" || name == "pids");
    paths(unified).next().or_else(|| paths(always_made).next())
}

/// The uid in `pod<uid>` or `kubepods-burstable-pod<uid with underscores>.slice`.
fn pod_uid(name: &str) -> Option<String> {
    let (name, systemd) = match name.strip_suffix(".slice") {
        Some(name) => (name.rsplit_once('-').map_or(name, |(_, last)| last), true),
        None => (name, false),
    };
    let uid = name.strip_prefix("pod")?;
    let fits = uid.len() >= 32 && uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-' || b == b'_');
    fits.then(|| if systemd { uid.replace('_', "-") } else { uid.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "5b3e8ae9a1d5f6a4c1b9a70e6b2b6cf9a0a7f9e8a7f5b8a6d4c3b2a1908f7e6d";
    const UID: &str = "1f7a2c3d-5e6f-4a8b-9c0d-1e2f3a4b5c6d";

    /// `CID` and `UID` stand for a container's id and a pod's uid, `U_ID` for the uid as systemd slices spell it.
    fn shaped(path: &str) -> String {
        path.replace("U_ID", &UID.replace('-', "_")).replace("UID", UID).replace("CID", ID)
    }

    #[test]
    fn reads_every_runtime_and_driver() {
        let cases = [
            ("/kubepods/burstable/podUID/CID", Engine::Unnamed, true),
            ("/kubepods/besteffort/podUID/CID", Engine::Unnamed, true),
            ("/kubepods/podUID/CID", Engine::Unnamed, true),
            ("/kubepods/podUID/crio-CID", Engine::Crio, true),
            (
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podU_ID.slice/cri-containerd-CID.scope",
                Engine::Containerd,
                true,
            ),
            ("/kubepods.slice/kubepods-podU_ID.slice/cri-containerd-CID.scope", Engine::Containerd, true),
            (
                "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podU_ID.slice/crio-CID.scope",
                Engine::Crio,
                true,
            ),
            ("/kubepods.slice/kubepods-podU_ID.slice/crio-CID.scope/container", Engine::Crio, true),
            ("/kubepods.slice/kubepods-podU_ID.slice/docker-CID.scope", Engine::Docker, true),
            (
                "/system.slice/containerd.service/kubepods-burstable-podU_ID.slice:cri-containerd:CID",
                Engine::Containerd,
                true,
            ),
            ("/system.slice/docker-CID.scope", Engine::Docker, false),
            ("/docker/CID", Engine::Docker, false),
            ("/docker/CID/init.scope", Engine::Docker, false),
            ("/machine.slice/libpod-CID.scope", Engine::Podman, false),
            ("/machine.slice/libpod-CID.scope/container", Engine::Podman, false),
            (
                "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-CID.scope/container",
                Engine::Podman,
                false,
            ),
            ("/libpod_parent/libpod-CID", Engine::Podman, false),
            ("/system.slice/nerdctl-CID.scope", Engine::Containerd, false),
            ("/default/CID", Engine::Unnamed, false),
            ("/../../burstable/podUID/CID", Engine::Unnamed, true),
        ];
        for (shape, engine, in_pod) in cases {
            let path = shaped(shape);
            let found = from_path(&path).unwrap_or_else(|| panic!("no container in {path}"));
            assert_eq!((found.id.as_str(), found.engine), (ID, engine), "{path}");
            assert_eq!(found.pod_uid.as_deref(), in_pod.then_some(UID), "{path}");
        }
    }

    #[test]
    fn a_node_that_is_itself_a_container_names_the_inner_one() {
        let outer = "0".repeat(64);
        let path = shaped(&format!(
            "/docker/{outer}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podU_ID.slice/cri-containerd-CID.scope"
        ));
        let found = from_path(&path).unwrap();
        assert_eq!((found.id.as_str(), found.pod_uid.as_deref()), (ID, Some(UID)));
    }

    #[test]
    fn static_pods_have_a_hash_for_a_uid() {
        let path = shaped("/kubepods/burstable/pod0123456789abcdef0123456789abcdef/CID");
        assert_eq!(from_path(&path).unwrap().pod_uid.as_deref(), Some("0123456789abcdef0123456789abcdef"));
    }

    #[test]
    fn monitors_services_and_short_or_upper_case_ids_are_no_containers() {
        let wrong = [
            shaped("/machine.slice/libpod-conmon-CID.scope"),
            shaped("/system.slice/crio-conmon-CID.scope"),
            shaped("/system.slice/someservice-CID.service"),
            shaped("/kubepods/burstable/podUID"),
            format!("/docker/{}", &ID[1..]),
            format!("/docker/{}", ID.to_uppercase()),
            format!("/docker/x{ID}"),
            "/".to_owned(),
            String::new(),
            "/system.slice/ssh.service".to_owned(),
            format!("/{}", "é".repeat(40)),
        ];
        for path in wrong {
            assert_eq!(from_path(&path), None, "{path}");
        }
    }

    /// `/proc/PID/cgroup` by set-up: `## NAME`, `# ENGINE pod|none`, and the text. What `CID` and the like stand for is as above.
    const SET_UPS: &str = include_str!("cgroup/set_ups.txt");

    #[test]
    fn every_set_up_names_the_container() {
        let mut count = 0;
        for set_up in SET_UPS.split("## ").skip(1) {
            let mut parts = set_up.splitn(3, '\n');
            let (name, expected, text) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
            let shown = match from_proc(&shaped(text)) {
                Some(found) => {
                    assert_eq!(found.id, ID, "{name}");
                    assert!(found.pod_uid.as_deref().is_none_or(|uid| uid == UID), "{name}: {found:?}");
                    format!("# {:?} {}", found.engine, if found.pod_uid.is_some() { "pod" } else { "none" })
                }
                None => "# no container".to_owned(),
            };
            assert_eq!(shown, expected, "{name}");
            count += 1;
        }
        assert_eq!(count, SET_UPS.matches("## ").count());
    }

    #[test]
    fn reads_version_one_two_and_both_mounted() {
        let two = shaped("0::/kubepods/podUID/CID\n");
        let one = shaped("12:pids:/kubepods/podUID/CID\n5:memory:/kubepods/podUID/CID\n1:name=systemd:/\n");
        let hybrid = shaped("9:name=systemd:/\n8:pids:/docker/CID\n4:memory:/docker/CID\n1:cpu,cpuacct:/\n0::/\n");
        for text in [&two, &one, &hybrid] {
            assert_eq!(from_proc(text).unwrap().id, ID, "{text}");
        }
        assert_eq!(from_proc("0::/init.scope\n"), None);
        assert_eq!(from_proc("garbage"), None);
    }
}
