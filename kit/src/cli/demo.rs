//! `demo`: the whole way, shown.

use super::{Exit, Refusal};
use crate::demo;

pub(super) async fn demo() -> Result<Exit, Refusal> {
    Ok(if demo::play().await? { Exit::AsExpected } else { Exit::Unexpected })
}
