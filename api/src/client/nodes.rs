//! Nodes: their work, what they read, and what they say of themselves.

use std::time::Duration;

use super::call::Call;
use super::events::EventStream;
use super::operation::Operation;
use super::{Client, ClientError};
use crate::node::{InventoryReceipt, NodeInventory};
use crate::node_status::{Node, NodeStatus};

const INVENTORY_WITHIN: Duration = Duration::from_secs(60);
const STATUS_WITHIN: Duration = Duration::from_secs(10);

impl Client {
    /// `GET /api/v1/nodes`, every page.
    ///
    /// # Errors
    /// When the server cannot be asked, refuses, or answers otherwise.
    pub async fn nodes(&self) -> Result<Vec<Node>, ClientError> {
        self.pages(&Call::of(Operation::Nodes, &[])).await
    }

    /// `GET /api/v1/nodes/{node}/work`: a stream whose events are each a [`NodeWork`](crate::node::NodeWork). It ends with an error
    /// when nothing comes for `idle`.
    ///
    /// # Errors
    /// When the server cannot be asked, is silent, or refuses.
    pub async fn node_work(
        &self,
        node: &str,
        last_id: Option<&str>,
        idle: Duration,
    ) -> Result<EventStream, ClientError> {
        self.stream(Call::of(Operation::NodeWork, &[node]), last_id, idle).await
    }

    /// `POST /api/v1/nodes/{node}/status`.
    ///
    /// # Errors
    /// When the server cannot be asked, does not answer within 10 s, or refuses.
    pub async fn tell_status(&self, node: &str, status: &NodeStatus) -> Result<(), ClientError> {
        let call = Call::of(Operation::TellStatus, &[node]).json(status)?.within(STATUS_WITHIN);
        self.send(&call).await.map(drop)
    }

    /// `POST /api/v1/inventories`.
    ///
    /// # Errors
    /// When the server cannot be asked, does not answer within a minute, refuses, or answers otherwise.
    pub async fn send_inventory(&self, inventory: &NodeInventory) -> Result<InventoryReceipt, ClientError> {
        self.json(&Call::of(Operation::SendInventory, &[]).json(inventory)?.within(INVENTORY_WITHIN)).await
    }
}
