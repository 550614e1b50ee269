//! Users, clients, tenants and offline tokens. Their bodies are the authority's own, and JSON here: a command line hands them
//! through.

use serde_json::{Value, json};

use super::call::Call;
use super::operation::Operation;
use super::{Client, ClientError};

impl Client {
    /// `GET /api/v1/admin/users`, every page.
    ///
    /// # Errors
    /// When the server cannot be asked, refuses, or answers otherwise.
    pub async fn users(&self) -> Result<Vec<Value>, ClientError> {
        self.pages(&Call::of(Operation::Users, &[])).await
    }

    /// `POST /api/v1/admin/users`.
    ///
    /// # Errors
    /// As [`Self::users`].
    pub async fn create_user(&self, user: &Value) -> Result<Value, ClientError> {
        self.json(&Call::of(Operation::CreateUser, &[]).json(user)?).await
    }

    /// `PATCH /api/v1/admin/users/{name}`.
    ///
    /// # Errors
    /// As [`Self::users`].
    pub async fn change_user(&self, name: &str, change: &Value) -> Result<Value, ClientError> {
        self.json(&Call::of(Operation::ChangeUser, &[name]).json(change)?).await
    }

    /// `GET /api/v1/admin/clients`, every page.
    ///
    /// # Errors
    /// As [`Self::users`].
    pub async fn clients(&self) -> Result<Vec<Value>, ClientError> {
        self.pages(&Call::of(Operation::Clients, &[])).await
    }

    /// `POST /api/v1/admin/clients`; the answer has the client's secret.
    ///
    /// # Errors
    /// As [`Self::users`].
    pub async fn create_client(&self, client: &Value) -> Result<Value, ClientError> {
        self.json(&Call::of(Operation::CreateClient, &[]).json(client)?).await
    }

    /// `PATCH /api/v1/admin/clients/{id}`.
    ///
    /// # Errors
    /// As [`Self::users`].
    pub async fn change_client(&self, id: &str, change: &Value) -> Result<Value, ClientError> {
        self.json(&Call::of(Operation::ChangeClient, &[id]).json(change)?).await
    }

    /// `POST /api/v1/admin/clients/{id}/secret`; the answer has the new secret.
    ///
    /// # Errors
    /// As [`Self::users`].
    pub async fn new_secret(&self, id: &str) -> Result<Value, ClientError> {
        self.json(&Call::of(Operation::NewSecret, &[id]).json(&json!({}))?).await
    }

    /// `GET /api/v1/admin/tenants`, every page.
    ///
    /// # Errors
    /// As [`Self::users`].
    pub async fn tenants(&self) -> Result<Vec<Value>, ClientError> {
        self.pages(&Call::of(Operation::Tenants, &[])).await
    }

    /// `POST /token/offline`; the answer has the token.
    ///
    /// # Errors
    /// As [`Self::users`].
    pub async fn offline_token(&self, wanted: &Value) -> Result<Value, ClientError> {
        self.json(&Call::of(Operation::OfflineToken, &[]).json(wanted)?).await
    }
}
