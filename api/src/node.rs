//! Work for nodes, and the inventories they send back (`/api/v1/nodes/{node}/work`, `/api/v1/inventories`).

use serde::{Deserialize, Serialize};
use stella_domain::Digest;
use stella_inventory::{Inventory, LayerInventory};
use utoipa::ToSchema;

/// One event of the work stream of a node; the SSE `event:` is `read` or `cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", tag = "type")]
pub enum NodeWork {
    /// Read an image and send its inventory.
    #[serde(rename_all = "camelCase")]
    Read {
        /// Names this piece of work; stands in the answer.
        work_id: String,
        /// The image as pods name it, when known.
        image_ref: Option<String>,
        /// Manifest, index or config digest, when known.
        #[schema(value_type = Option<String>)]
        digest: Option<Digest>,
        /// The `traceparent` that reading and answering go on with, where whoever asked for the scan is traced.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        traceparent: Option<String>,
    },
    /// Stop reading.
    #[serde(rename_all = "camelCase")]
    Cancel {
        /// The piece of work to stop.
        work_id: String,
    },
}

/// The body of `POST /layers/missing`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LayersQuery {
    /// 1 to 4096 diffIDs.
    pub layers: Vec<String>,
}

/// The answer: those of the asked layers that are not stored, in request order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LayersMissing {
    /// DiffIDs whose inventories are wanted.
    #[schema(value_type = Vec<String>)]
    pub missing: Vec<Digest>,
}

/// The body of `POST /api/v1/inventories`: what a node read of one image, or why it could not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeInventory {
    /// The node that read it.
    pub node: String,
    /// The piece of work this answers, when it answers one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_id: Option<String>,
    /// The image as pods name it.
    pub image_ref: String,
    /// Every digest that names the image here: manifest, index, config.
    #[schema(value_type = Vec<String>)]
    pub digests: Vec<Digest>,
    /// The digest to file it under: the manifest's where the node knows it, else the config's.
    #[schema(value_type = Option<String>)]
    pub image_digest: Option<Digest>,
    /// What was read.
    pub outcome: NodeReading,
}

/// What reading an image on a node gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", tag = "way")]
pub enum NodeReading {
    /// The layers were in the content store. Only those the server lacked are sent in full.
    #[serde(rename_all = "camelCase")]
    Layers {
        /// DiffIDs from the base up.
        #[schema(value_type = Vec<String>)]
        diff_ids: Vec<Digest>,
        /// Inventories of the layers the server asked for.
        #[schema(value_type = Vec<Object>)]
        layers: Vec<LayerInventory>,
    },
    /// The layers were gone; a running container's root was read as one flat tree. Never stored as layers.
    #[serde(rename_all = "camelCase")]
    Rootfs {
        /// The container that was read; empty where the unpacked layers were, because none runs the image.
        container_id: String,
        /// The flat inventory.
        #[schema(value_type = Object)]
        inventory: Inventory,
    },
    /// It could not be read.
    #[serde(rename_all = "camelCase")]
    Failed {
        /// Why, for a person.
        reason: String,
    },
}

/// The answer to an inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct InventoryReceipt {
    /// The digest it was filed under.
    #[schema(value_type = Option<String>)]
    pub image_digest: Option<Digest>,
    /// Layers that are still missing: send the inventory again with these in full.
    #[schema(value_type = Vec<String>)]
    pub missing: Vec<Digest>,
}
