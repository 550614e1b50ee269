//! `stellopsctl nodes`.

use stella_api::client::Client;
use stella_api::node_status::{Node, NodeState};

use super::CtlError;
use crate::exit::Outcome;
use crate::render::Grid;
use crate::terminal;

const HEADER: [&str; 9] = ["node", "state", "agent", "kernel", "hooks", "containers", "gaps", "lost", "last heard"];

/// Lists the nodes: a table, and below it what each agent does without or lost.
pub(super) async fn list(client: &Client, json: bool) -> Result<Outcome, CtlError> {
    let nodes = client.nodes().await?;
    if json {
        terminal::print_json(&nodes)?;
    } else {
        terminal::print(table(&nodes).as_bytes())?;
    }
    Ok(Outcome::Passed)
}

fn table(nodes: &[Node]) -> String {
    if nodes.is_empty() {
        return "none\n".to_owned();
    }
    let mut grid = Grid::new(&HEADER);
    for node in nodes {
        let hooks: Vec<String> =
            node.agent.hooks.iter().map(|hook| format!("{} by {}", hook.sees, hook.hook)).collect();
        let (gaps, lost) =
            (node.gaps.values().sum::<u64>(), node.agent.losses.iter().map(|loss| loss.count).sum::<u64>());
        grid.row(vec![
            node.node.clone(),
            state(node.state).to_owned(),
            node.agent.agent_version.clone(),
            node.agent.kernel.clone(),
            hooks.join(", "),
            format!("{} of {} seen", node.running, node.agent.containers_seen),
            gaps.to_string(),
            lost.to_string(),
            node.last_heard.to_string(),
        ]);
    }
    let mut text = grid.render();
    let remarks: Vec<String> = nodes.iter().flat_map(remarks).collect();
    if !remarks.is_empty() {
        text.push('\n');
        for line in &remarks {
            text.push_str(&terminal::printable(line));
            text.push('\n');
        }
    }
    text
}

const fn state(state: NodeState) -> &'static str {
    match state {
        NodeState::Watching => "watching",
        NodeState::Degraded => "degraded",
        NodeState::Stale => "stale",
    }
}

fn remarks(node: &Node) -> Vec<String> {
    let mut lines = Vec::new();
    if node.state == NodeState::Stale {
        lines.push(format!("{}: not heard since {}; what stands above is of then", node.node, node.last_heard));
    }
    for refused in &node.agent.refused {
        let missing = refused.missing.as_ref().map(|missing| format!(" (missing: {missing})")).unwrap_or_default();
        lines
            .push(format!("{}: {} not seen by {}{missing}: {}", node.node, refused.sees, refused.hook, refused.reason));
    }
    for loss in &node.agent.losses {
        let since = node.agent.since;
        lines
            .push(format!("{}: {} events lost since {since}, {} ({})", node.node, loss.count, loss.reason, loss.stage));
    }
    for pressure in &node.agent.pressure {
        lines.push(format!("{}: under pressure by {pressure}: no image is read", node.node));
    }
    if let Some(reason) = node.agent.image_reader.as_ref().and_then(|reader| reader.reason.as_ref()) {
        lines.push(format!("{}: images are read without a control group: {reason}", node.node));
    }
    for (reason, count) in &node.gaps {
        lines.push(format!("{}: {count} running containers with a gap: {reason}", node.node));
    }
    lines
}
