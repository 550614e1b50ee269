//! Which node has an image.

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::ListParams;
use stella_domain::Tenant;
use stella_store::{Scan, StoreError};

use crate::app::App;

/// A node that has the image of `scan`: one where a container of the tenant runs it, else, while the cluster has one tenant only, one whose
/// kubelet lists it. A node answers only for what the tenant runs; with several tenants, having pulled an image proves nothing.
///
/// # Errors
/// When the database does not answer. A cluster that does not answer counts as not knowing.
pub async fn node_with(app: &App, scan: &Scan) -> Result<Option<String>, StoreError> {
    if let Some(node) = &scan.node {
        return Ok(Some(node.clone()));
    }
    if let Some(node) = running_on(app, &scan.tenant, scan).await? {
        return Ok(Some(node));
    }
    if app.namespaces.single_tenant()
        && let Some(client) = &app.cluster
    {
        return Ok(listed_by(client, scan).await);
    }
    Ok(None)
}

async fn running_on(app: &App, tenant: &Tenant, scan: &Scan) -> Result<Option<String>, StoreError> {
    let digest = scan.asked_digest.map(|digest| digest.to_string());
    let containers = app.store.running_containers(tenant).await?;
    let found = containers.into_iter().find(|container| {
        digest
            .as_ref()
            .is_some_and(|digest| container.image == *digest || container.image_ref.ends_with(digest.as_str()))
            || (digest.is_none()
                && scan.reference.as_ref().is_some_and(|name| same_reference(name, &container.image_ref)))
    });
    Ok(found.map(|container| container.node))
}

async fn listed_by(client: &kube::Client, scan: &Scan) -> Option<String> {
    let (api, all) = (Api::<Node>::all(client.clone()), ListParams::default());
    let nodes = match tokio::time::timeout(std::time::Duration::from_secs(10), api.list(&all)).await {
        Ok(Ok(nodes)) => nodes,
        Ok(Err(error)) => {
            tracing::warn!(%error, "nodes cannot be listed");
            return None;
        }
        Err(_) => {
            tracing::warn!("listing the nodes took too long");
            return None;
        }
    };
    let wanted = |name: &String| {
        let by_digest = scan.asked_digest.is_some_and(|digest| name.ends_with(&digest.to_string()));
        by_digest
            || (scan.asked_digest.is_none() && scan.reference.as_ref().is_some_and(|asked| same_reference(asked, name)))
    };
    let has = |node: &Node| {
        let images = node.status.iter().flat_map(|status| status.images.iter().flatten());
        images.flat_map(|image| image.names.iter().flatten()).any(&wanted)
    };
    nodes.items.iter().find(|node| has(node)).and_then(|node| node.metadata.name.clone())
}

/// Whether two references mean the same, with the defaults that container runtimes fill in.
fn same_reference(a: &str, b: &str) -> bool {
    full_reference(a) == full_reference(b)
}

/// A reference with registry, repository and tag or digest spelt out (distribution reference grammar, familiar names).
#[must_use]
pub fn full_reference(reference: &str) -> String {
    let (registry, rest) = match reference.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest.to_owned()),
        Some(_) => ("docker.io", reference.to_owned()),
        None => ("docker.io", format!("library/{reference}")),
    };
    let tagged = rest.contains('@') || rest.rsplit('/').next().is_some_and(|last| last.contains(':'));
    if tagged { format!("{registry}/{rest}") } else { format!("{registry}/{rest}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn familiar_names_mean_the_same_as_full_ones() {
        assert!(same_reference("nginx", "docker.io/library/nginx:latest"));
        assert!(same_reference("team/app:1", "docker.io/team/app:1"));
        assert!(same_reference("localhost/clean:1", "localhost/clean:1"));
        assert!(!same_reference("registry.example.com:5000/app", "docker.io/library/app"));
    }
}
