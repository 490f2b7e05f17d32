//! `/admin/v1/keys`: the keys of the file and of the store, and what the operator does with those of
//! the store. A secret is in one answer, to who made it, and nowhere else.

mod written;

use axum::{
    extract::{FromRequestParts, Path, Query, Request, State},
    response::Response,
};
use http::StatusCode;
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use self::written::{Change, Create, Nothing, Rotate};
use super::refusal::Refusal;
use crate::{
    accept::{
        body,
        respond::{self, Shared},
    },
    config::Budget,
    error::GatewayError,
    state::World,
    store::keys::{KeysError, Patch, Register, Stored, Terms, View, secret},
};

/// Keys of one answer, unless fewer are asked for.
const MOST: usize = 1_000;
/// Bytes of a body.
const MOST_BYTES: u64 = 256 << 10;

/// Which keys are asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    limit: Option<usize>,
    /// The `next` of an answer.
    after: Option<String>,
}

/// Keys, those of the file first.
#[derive(Default, Serialize)]
struct List {
    keys: Vec<View>,
    /// What to send as `after` to read on; `null`: this is the end.
    next: Option<String>,
}

/// A key with its secret.
#[derive(Serialize)]
struct Secret<'a> {
    key: &'a str,
    #[serde(flatten)]
    view: View,
}

/// Lists keys.
pub(super) async fn list(State(app): State<Shared>, request: Request) -> Response {
    let (mut head, _) = request.into_parts();
    let query = Query::<Asked>::from_request_parts(&mut head, &app).await;
    let Ok(Query(Asked { limit, after })) = query else {
        return Refusal::Query("known are limit=N and after").respond();
    };
    let (world, now) = (app.world(), Timestamp::now());
    let most = limit.unwrap_or(MOST).clamp(1, MOST);
    let listed = match &app.keyring {
        None => {
            let keys = world.config.keys.iter();
            Ok(List {
                keys: keys.map(|key| View::of_file(key, now)).collect(),
                next: None,
            })
        }
        Some(keyring) => {
            let read =
                move |register: &Register| page(register, &world, after.as_deref(), (most, now));
            keyring.ask(read).await
        }
    };
    match listed {
        Ok(list) => respond::as_json(&list),
        Err(error) => Refusal::from(error).respond(),
    }
}

/// A page of the list: those of the file stand before the first one of the store.
fn page(
    register: &Register,
    world: &World,
    after: Option<&str>,
    (most, now): (usize, Timestamp),
) -> Result<List, KeysError> {
    let spent = |id: &str, budget: Option<Budget>| {
        let of = |budget| register.spent(id, budget, (&world.config.time_zone, now));
        budget.map(of).transpose()
    };
    let held = |id: &str| {
        let holder = world.holders.find(id)?;
        Some(holder.purse.standing(now)?.held)
    };
    let mut list = List::default();
    if after.is_none() {
        for key in &world.config.keys {
            let view = View::of_file(key, now);
            let view = view.with_spent(spent(&key.id, key.budget)?);
            list.keys.push(view.with_held(held(&key.id)));
        }
    }
    // one more than wanted tells whether there are more
    let mut stored = register.list(after, most + 1)?;
    let more = stored.len() > most;
    stored.truncate(most);
    let last = stored.last().filter(|_| more);
    list.next = last.map(|last| last.id.to_string());
    for key in &stored {
        let spent = spent(&key.id, key.terms.budget)?;
        let view = view(world, key, now).with_spent(spent);
        list.keys.push(view.with_held(held(&key.id)));
    }
    Ok(list)
}

/// Makes a key.
pub(super) async fn create(State(app): State<Shared>, request: Request) -> Response {
    let created = async {
        let Create { id, change } = read(&app, request).await?;
        let id = match id {
            Some(id) => id.0,
            None => secret::id().map_err(|_| Refusal::NoRandomness)?,
        };
        if app.world().keys.has(&id) {
            return Err(Refusal::TakenByFile(id));
        }
        let mut terms = Terms::default();
        Patch::try_from(change)?.apply(&mut terms);
        let (secret, digest) = new_secret()?;
        let create = move |register: &mut Register| {
            let now = Timestamp::now();
            register.create(&id, digest, terms, now)
        };
        Ok((secret, done(&app, "created", create).await?))
    };
    match created.await {
        Ok((secret, stored)) => shown(&app.world(), &secret, &stored, StatusCode::CREATED),
        Err(refusal) => refusal.respond(),
    }
}

/// Changes what a key allows.
pub(super) async fn change(
    State(app): State<Shared>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let changed = async {
        let change: Change = read(&app, request).await?;
        let patch = Patch::try_from(change)?;
        of_store(&app.world(), &id)?;
        done(&app, "changed", move |register| register.patch(&id, patch)).await
    };
    match changed.await {
        Ok(stored) => respond::as_json(&view(&app.world(), &stored, Timestamp::now())),
        Err(refusal) => refusal.respond(),
    }
}

/// `{id}/revoke` and `{id}/rotate`; ids may hold slashes themselves.
pub(super) async fn act(
    State(app): State<Shared>,
    Path(path): Path<String>,
    request: Request,
) -> Response {
    let answer = match path.rsplit_once('/') {
        Some((id, "revoke")) => revoke(&app, id.to_owned(), request).await,
        Some((id, "rotate")) => rotate(&app, id.to_owned(), request).await,
        _ => {
            let path = path.chars().take(200).collect::<String>();
            let path = format!("/admin/v1/keys/{path}");
            return respond::error(&GatewayError::UnknownPath(path));
        }
    };
    answer.unwrap_or_else(|refusal| refusal.respond())
}

async fn revoke(app: &Shared, id: String, request: Request) -> Result<Response, Refusal> {
    let _: Nothing = read(app, request).await?;
    of_store(&app.world(), &id)?;
    let revoke = move |register: &mut Register| register.revoke(&id, Timestamp::now());
    let stored = done(app, "revoked", revoke).await?;
    let view = view(&app.world(), &stored, Timestamp::now());
    Ok(respond::as_json(&view))
}

async fn rotate(app: &Shared, id: String, request: Request) -> Result<Response, Refusal> {
    let Rotate { overlap } = read(app, request).await?;
    of_store(&app.world(), &id)?;
    let overlap = overlap.map_or(written::OVERLAP, |overlap| overlap.0);
    let until = Timestamp::now().checked_add(overlap);
    let until = until.unwrap_or(Timestamp::MAX);
    let (secret, digest) = new_secret()?;
    let rotate = move |register: &mut Register| register.rotate(&id, digest, until);
    let stored = done(app, "rotated", rotate).await?;
    Ok(shown(&app.world(), &secret, &stored, StatusCode::OK))
}

/// Changes something in the store, and puts it into effect here at once.
async fn done<F>(app: &Shared, what: &'static str, change: F) -> Result<Stored, Refusal>
where
    F: FnOnce(&mut Register) -> Result<Stored, KeysError> + Send + 'static,
{
    let keyring = app.keyring.as_ref().ok_or(Refusal::NoLedger)?;
    let stored = keyring.change(change).await?;
    tracing::info!(key = &*stored.id, what, "a key, by the operator");
    Ok(stored)
}

/// Keys of the file are changed in the file.
fn of_store(world: &World, id: &str) -> Result<(), Refusal> {
    if world.keys.has(id) {
        return Err(Refusal::KeyOfFile(id.chars().take(256).collect()));
    }
    Ok(())
}

/// Reads a body; an empty one is an empty object.
async fn read<T: DeserializeOwned>(app: &Shared, request: Request) -> Result<T, Refusal> {
    let read = body::read(request.into_body(), MOST_BYTES, &app.room).await;
    let (body, _held) = read.map_err(Refusal::Body)?;
    let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refusal::Form("an object is expected".to_owned()));
    }
    serde_json::from_slice(body).map_err(|error| Refusal::Form(error.to_string()))
}

fn new_secret() -> Result<(SecretString, [u8; 32]), Refusal> {
    let secret = secret::secret().map_err(|_| Refusal::NoRandomness)?;
    let digest = secret::digest(secret.expose_secret());
    Ok((secret, digest))
}

fn shown(world: &World, secret: &SecretString, stored: &Stored, status: StatusCode) -> Response {
    let shown = Secret {
        key: secret.expose_secret(),
        view: view(world, stored, Timestamp::now()),
    };
    respond::json(status, serde_json::to_vec(&shown).unwrap_or_default())
}

fn view(world: &World, stored: &Stored, now: Timestamp) -> View {
    View::of(stored, world.keys.has(&stored.id), now)
}
