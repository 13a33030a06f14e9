//! What time ends: ownership tokens with the certificates nobody used, and provisioning claims.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::account::{Account, ApiError, claims, ownership};
use crate::diary::{Diary, Entry};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);

/// Sweeps until `shutdown`.
pub(crate) async fn sweep(account: Account, diary: Diary, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
        if !is_due(&account) {
            continue;
        }
        let (account, diary) = (account.clone(), diary.clone());
        let swept = tokio::task::spawn_blocking(move || sweep_once(&account, &diary)).await;
        if let Ok(Err(error)) = swept {
            tracing::error!("what has expired cannot be removed: {error}");
        }
    }
}

fn is_due(account: &Account) -> bool {
    let (state, now) = (account.snapshot(), account.clock().timestamp());
    ownership::has_expired(&state, now) || claims::has_expired(&state, now)
}

/// Removes what has expired by now.
pub(super) fn sweep_once(account: &Account, diary: &Diary) -> Result<(), ApiError> {
    let deleted = account.write(|tx| {
        claims::sweep(tx)?;
        Ok(ownership::sweep(tx))
    })?;
    for id in deleted {
        let sentence = "fleet provisioning: its ownership token has expired without RegisterThing; the certificate is deleted";
        diary.record(Entry::step("FLEET_CERTIFICATE_DELETED", sentence).certificate(id));
    }
    Ok(())
}
