//! Making clients and users, and what becomes of them.

use stella_domain::Timestamp;

use crate::audit::{Event, Outcome, What};
use crate::authority::Authority;
use crate::claims::{LEEWAY, MAX_OFFLINE_DAYS};
use crate::grant::Grantee;
use crate::password::WeakPassword;
use crate::remote::Asking;
use crate::scope::Scopes;
use crate::tenants::Tenants;
use crate::vault::{Category, Client, Revocation, Role, User};

/// Seconds in a day.
const DAY: i64 = 24 * 3600;

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeopleError {
    /// It cannot be called that.
    #[error("{0}: 1 to 64 letters, digits and . _ - @ are a name")]
    Name(&'static str),
    /// It is there already.
    #[error("{0} is there already")]
    Taken(String),
    /// It is not there.
    #[error("{0} is not there")]
    Unknown(String),
    /// The password is too weak.
    #[error(transparent)]
    Weak(#[from] WeakPassword),
    /// The number of days is out of range.
    #[error("expiresDays: expected 1 to {MAX_OFFLINE_DAYS}")]
    Days,
    /// Without scopes or tenants nothing can be done.
    #[error("{0}: at least one is needed")]
    Empty(&'static str),
    /// Ours is the fault.
    #[error("not now: {0}")]
    Unavailable(String),
}

/// What a new client may do.
#[derive(Debug, Clone)]
pub struct NewClient {
    /// Its name.
    pub id: String,
    /// What it may ask for.
    pub scopes: Scopes,
    /// For whom it may speak.
    pub tenants: Tenants,
    /// Scans a day for each of its tokens.
    pub max_scans_per_day: Option<u32>,
}

/// A new person.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: String,
    /// What it is.
    pub role: Role,
    /// For whom it may speak.
    pub tenants: Tenants,
}

/// An offline token.
#[derive(Debug, Clone)]
pub struct NewOfflineToken {
    /// Days it is good for.
    pub days: i64,
    /// Scans a day.
    pub max_scans_per_day: Option<u32>,
    /// What it allows.
    pub scopes: Scopes,
    /// For whom it may speak.
    pub tenants: Tenants,
}

impl Authority {
    /// Makes a client. Returns its secret, which nobody keeps.
    ///
    /// # Errors
    /// When the name is odd or taken.
    pub async fn add_client(&self, asking: Asking<'_>, actor: &str, new: NewClient) -> Result<String, PeopleError> {
        named("client", &new.id)?;
        some(&new.scopes, &new.tenants)?;
        let (secret, secret_hash) = self.fresh_secret().await?;
        let now = self.now();
        let client = Client {
            id: new.id,
            secret_hash,
            scopes: new.scopes,
            tenants: new.tenants,
            max_scans_per_day: new.max_scans_per_day,
            disabled: false,
            created_at: now,
            rotated_at: now,
        };
        if self.vault.client(&client.id).await.map_err(unavailable)?.is_some() {
            return Err(PeopleError::Taken(client.id));
        }
        self.told(asking, What::Client, actor, &client.id, "made").await?;
        if self.vault.keep_client(&client, true).await.map_err(unavailable)? {
            Ok(secret)
        } else {
            Err(PeopleError::Taken(client.id))
        }
    }

    /// Gives a client another secret, and returns it. Tokens it has stay good.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn rotate_client(&self, asking: Asking<'_>, actor: &str, id: &str) -> Result<String, PeopleError> {
        let client = self.vault.client(id).await.map_err(unavailable)?;
        let client = client.ok_or_else(|| PeopleError::Unknown(shown(id)))?;
        let (secret, secret_hash) = self.fresh_secret().await?;
        let client = Client { secret_hash, rotated_at: self.now(), ..client };
        self.told(asking, What::Client, actor, id, "given another secret").await?;
        self.vault.keep_client(&client, false).await.map_err(unavailable)?;
        Ok(secret)
    }

    /// Lets a client in no more, or again. Its tokens end at once.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn disable_client(
        &self,
        asking: Asking<'_>,
        actor: &str,
        id: &str,
        disabled: bool,
    ) -> Result<(), PeopleError> {
        let client = self.vault.client(id).await.map_err(unavailable)?;
        let client = client.ok_or_else(|| PeopleError::Unknown(shown(id)))?;
        self.told(asking, What::Client, actor, id, if disabled { "disabled" } else { "enabled" }).await?;
        self.vault.keep_client(&Client { disabled, ..client }, false).await.map_err(unavailable)?;
        if disabled { self.end(Category::Client, id, "the client was disabled").await } else { Ok(()) }
    }

    /// Makes a user.
    ///
    /// # Errors
    /// When the name is odd or taken, or the password too weak.
    pub async fn add_user(&self, asking: Asking<'_>, actor: &str, new: NewUser) -> Result<(), PeopleError> {
        named("user", &new.name)?;
        some(&new.role.scopes(), &new.tenants)?;
        self.settings.password_policy.check(&new.password)?;
        let user = User {
            name: new.name,
            password_hash: self.hash(new.password).await?,
            role: new.role,
            tenants: new.tenants,
            disabled: false,
            created_at: self.now(),
        };
        if self.vault.user(&user.name).await.map_err(unavailable)?.is_some() {
            return Err(PeopleError::Taken(user.name));
        }
        self.told(asking, What::User, actor, &user.name, "made").await?;
        let free = self.vault.keep_user(&user, true).await.map_err(unavailable)?;
        if free { Ok(()) } else { Err(PeopleError::Taken(user.name)) }
    }

    /// Lets a user in no more, or again. Its tokens end at once.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn disable_user(
        &self,
        asking: Asking<'_>,
        actor: &str,
        name: &str,
        disabled: bool,
    ) -> Result<(), PeopleError> {
        let user = self.vault.user(name).await.map_err(unavailable)?;
        let user = user.ok_or_else(|| PeopleError::Unknown(shown(name)))?;
        self.told(asking, What::User, actor, name, if disabled { "disabled" } else { "enabled" }).await?;
        self.vault.keep_user(&User { disabled, ..user }, false).await.map_err(unavailable)?;
        if disabled { self.end(Category::User, name, "the user was disabled").await } else { Ok(()) }
    }

    /// Makes an offline token. Returns it and when it ends.
    ///
    /// # Errors
    /// When the days are out of range.
    pub async fn offline_token(
        &self,
        asking: Asking<'_>,
        actor: &str,
        new: NewOfflineToken,
    ) -> Result<(String, Timestamp), PeopleError> {
        if !(1..=MAX_OFFLINE_DAYS).contains(&new.days) {
            return Err(PeopleError::Days);
        }
        some(&new.scopes, &new.tenants)?;
        let jti = self.entropy.name().map_err(unavailable)?;
        let now = self.now();
        let mut grantee = Grantee::new("offline", "offline", new.scopes, new.tenants, jti);
        grantee.seconds = new.days * DAY;
        grantee.max_scans_per_day = Some(new.max_scans_per_day.unwrap_or(self.settings.max_scans_per_day));
        let jwt = self.issue(&grantee, now).map_err(unavailable)?;
        let mut event = Event::new(What::OfflineToken, Outcome::Success).subject(actor);
        event.scopes = grantee.scopes;
        let event = event.detail(format!("{} for {} days", grantee.jti, new.days));
        self.log(asking, event).await.map_err(unavailable)?;
        Ok((jwt, Timestamp::from_millis(now.as_millis().div_euclid(1000) * 1000).plus_seconds(new.days * DAY)))
    }

    async fn end(&self, category: Category, id: &str, reason: &str) -> Result<(), PeopleError> {
        let now = self.now();
        let revocation = Revocation {
            category,
            id: id.to_owned(),
            revoked_at: now,
            expires_at: now.plus_seconds(MAX_OFFLINE_DAYS * DAY + LEEWAY),
            reason: reason.to_owned(),
        };
        self.revoke(&revocation).await.map_err(unavailable)
    }

    async fn told(
        &self,
        asking: Asking<'_>,
        what: What,
        actor: &str,
        whom: &str,
        how: &str,
    ) -> Result<(), PeopleError> {
        let event = Event::new(what, Outcome::Success).subject(actor).detail(format!("{whom} is {how}"));
        self.log(asking, event).await.map_err(unavailable)
    }

    async fn fresh_secret(&self) -> Result<(String, String), PeopleError> {
        let secret = self.entropy.secret().map_err(unavailable)?;
        Ok((secret.clone(), self.hash(secret).await?))
    }

    async fn hash(&self, secret: String) -> Result<String, PeopleError> {
        self.hashing.hash_aside(secret, self.entropy.clone()).await.map_err(unavailable)
    }
}

fn unavailable(error: impl std::fmt::Display) -> PeopleError {
    PeopleError::Unavailable(error.to_string())
}

fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

fn named(what: &'static str, name: &str) -> Result<(), PeopleError> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._-@".contains(&b);
    // Service accounts and what is not a client have names of their own.
    let ours = ["offline", "anonymous"].contains(&name);
    if (1..=64).contains(&name.len()) && name.bytes().all(good) && !ours {
        Ok(())
    } else {
        Err(PeopleError::Name(what))
    }
}

fn some(scopes: &Scopes, tenants: &Tenants) -> Result<(), PeopleError> {
    if scopes.is_empty() {
        return Err(PeopleError::Empty("scopes"));
    }
    tenants.own().map(drop).ok_or(PeopleError::Empty("tenants"))
}
