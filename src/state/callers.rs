//! Who calls: the keys of the configuration first, then those of the store.

use std::sync::Arc;

use http::{HeaderMap, Method, uri::Authority};
use jiff::Timestamp;

use super::{App, World};
use crate::{
    admit::{
        budgets::Paying,
        holders::{Holder, Stated},
    },
    authenticate::{AuthError, Caller, Principal},
    route::names::Target,
    store::keys::KeysError,
};

impl World {
    /// What a caller is held to; `None`: nobody was asked for a key.
    #[must_use]
    pub fn holder(&self, principal: &Principal, now: Timestamp) -> Option<Arc<Holder>> {
        let key = principal.id.as_ref()?;
        if self.keys.has(key) {
            // those of the file were stated when it was loaded
            return self.holders.find(key);
        }
        let stated = Stated {
            key,
            limits: principal.limits,
            budget: principal.budget,
            tags: principal.tags.as_ref(),
            budgets: &self.budgets,
            zone: &self.config.time_zone,
        };
        Some(self.holders.state(&stated, now))
    }

    /// What a request of a caller for this target is paid from.
    #[must_use]
    pub fn paying(&self, holder: Option<&Holder>, target: Option<Target>) -> Paying {
        let route = match target {
            Some(Target::Route(route)) => Some(route),
            Some(Target::Model(_) | Target::Backend { .. }) | None => None,
        };
        let caller = holder.map(|holder| &holder.purses);
        self.budgets.paying(caller, route)
    }
}

impl App {
    /// Finds out who is calling now. `authority` is that of the request's URI, if it has one.
    ///
    /// # Errors
    /// If the key is missing, wrong or not accepted any more, or that can't be found out.
    pub async fn identify(
        &self,
        world: &World,
        method: &Method,
        authority: Option<&Authority>,
        headers: &HeaderMap,
    ) -> Result<Arc<Principal>, AuthError> {
        let now = Timestamp::now();
        let digest = match world.keys.identify(method, authority, headers, now)? {
            Caller::Known(principal) => return Ok(principal),
            Caller::Stranger(digest) => digest,
        };
        let keyring = self.keyring.as_ref().ok_or(AuthError::Wrong)?;
        let principal = keyring.holder(digest, now).await?;
        // limits and money go by the id: two keys can't have one
        if let Some(id) = principal.id.as_ref().filter(|id| world.keys.has(id)) {
            keyring.shadowed(id);
            return Err(AuthError::Wrong);
        }
        Ok(principal)
    }

    /// Who holds the key of an id, if it is accepted now.
    ///
    /// # Errors
    /// If there is none, or it is not accepted any more, or that can't be found out.
    pub async fn accepted(
        &self,
        world: &World,
        id: &str,
        now: Timestamp,
    ) -> Result<Arc<Principal>, AuthError> {
        let principal = match (world.keys.by_id(id), &self.keyring) {
            (Some(principal), _) => principal,
            (None, Some(keyring)) => keyring.accepted(id).await?,
            (None, None) => return Err(AuthError::Wrong),
        };
        if principal.is_expired(now) {
            return Err(AuthError::Expired);
        }
        Ok(principal)
    }

    /// Who holds the key of an id, whether or not it is accepted now.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn holder(
        &self,
        world: &World,
        id: &str,
    ) -> Result<Option<Arc<Principal>>, KeysError> {
        match (world.keys.by_id(id), &self.keyring) {
            (Some(principal), _) => Ok(Some(principal)),
            (None, Some(keyring)) => keyring.by_id(id).await,
            (None, None) => Ok(None),
        }
    }
}
