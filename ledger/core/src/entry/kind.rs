//! The kinds of entries.

/// Opaque bytes.
pub const NOTE: u16 = 1;
/// Opens an account.
pub const OPEN_ACCOUNT: u16 = 16;
/// Closes an account that has no credential.
pub const CLOSE_ACCOUNT: u16 = 17;
/// Binds a credential to an account.
pub const BIND_CREDENTIAL: u16 = 18;
/// Binds a key to an account.
pub const BIND_KEY: u16 = 19;
/// Freezes a key.
pub const FREEZE_KEY: u16 = 20;
/// Thaws a key.
pub const UNFREEZE_KEY: u16 = 21;
/// Sets the time after which a key may be destroyed.
pub const SCHEDULE_DESTROY_KEY: u16 = 22;
/// Takes that back.
pub const CANCEL_DESTROY_KEY: u16 = 23;
/// Destroys a key for good.
pub const DESTROY_KEY: u16 = 24;
/// Binds a key as the next version of another one.
pub const ROTATE_KEY: u16 = 25;
/// Binds a key as the next version of one of mode `self`, with that one's consent.
pub const ROTATE_OWN_KEY: u16 = 26;
/// Closes an account in its own name.
pub const CLOSE_OWN_ACCOUNT: u16 = 27;
/// Claims the right to use a key once.
pub const INTENT: u16 = 32;
/// Records what an intent released.
pub const RELEASE: u16 = 33;
/// Sets a counter of attempts.
pub const DEFINE_ATTEMPTS: u16 = 80;
/// Spends an attempt.
pub const GRANT_ATTEMPT: u16 = 81;
/// Shows that an attempt succeeded.
pub const PROVE_ATTEMPT: u16 = 82;
/// Sets a rate.
pub const DEFINE_RATE: u16 = 84;
/// Charges a rate.
pub const CHARGE_RATE: u16 = 85;
/// Sets who must approve.
pub const DEFINE_APPROVAL: u16 = 88;
/// Asks for approvals.
pub const OPEN_APPROVAL: u16 = 89;
/// Approves.
pub const APPROVE: u16 = 90;
/// Refuses an approval.
pub const REFUSE_APPROVAL: u16 = 91;
/// Takes an approval or a case back.
pub const WITHDRAW_APPROVAL: u16 = 92;
/// Uses approvals up.
pub const USE_APPROVAL: u16 = 93;
/// Sets who may open an act, and how long it waits.
pub const DEFINE_TIMELOCK: u16 = 96;
/// Opens an act.
pub const OPEN_TIMELOCK: u16 = 97;
/// Stops an act.
pub const VETO_TIMELOCK: u16 = 98;
/// Takes an act back.
pub const CANCEL_TIMELOCK: u16 = 99;
/// Does what was opened.
pub const EXECUTE_TIMELOCK: u16 = 100;
/// Seals a vault.
pub const SEAL_VAULT: u16 = 112;
/// Spends an attempt at a vault.
pub const ATTEMPT_VAULT: u16 = 113;
/// Shows that an attempt at a vault succeeded.
pub const OPEN_VAULT: u16 = 114;
/// Ends a vault.
pub const DESTROY_VAULT: u16 = 115;
/// A keeper has erased its shares of a vault.
pub const ERASE_SHARES: u16 = 116;
/// Deals a vault's shares anew.
pub const REFRESH_VAULT: u16 = 117;
/// Appoints delegates.
pub const APPOINT_DELEGATES: u16 = 128;
/// Ends a delegation.
pub const REVOKE_DELEGATES: u16 = 129;
/// Asks for another credential.
pub const OPEN_RECOVERY: u16 = 130;
/// Stops a recovery.
pub const VETO_RECOVERY: u16 = 131;
/// Takes a recovery back.
pub const CANCEL_RECOVERY: u16 = 132;
/// Binds the credential that was asked for.
pub const EXECUTE_RECOVERY: u16 = 133;
/// Charges what delegates do for an account.
pub const DELEGATED_ACT: u16 = 134;
/// Opens the generation of a shared key.
pub const OPEN_SHARED_KEY: u16 = 144;
/// Binds a shared key.
pub const BIND_SHARED_KEY: u16 = 145;
/// Claims the right to use a shared key once.
pub const INTENT_SHARED: u16 = 146;
/// Records the shares of a key dealt anew.
pub const RENEW_SHARED_KEY: u16 = 147;
/// Puts another device in the place of the one that speaks for a share.
pub const REPLACE_DEVICE: u16 = 148;
/// Keeps another device from that.
pub const CANCEL_DEVICE: u16 = 149;
/// Publishes a tenant's policy set.
pub const PUBLISH_POLICY: u16 = 160;
/// Publishes a tenant's rules of risk.
pub const PUBLISH_RISK: u16 = 161;
/// Opens an association.
pub const OPEN_ASSOCIATION: u16 = 176;
/// Changes an association.
pub const UPDATE_ASSOCIATION: u16 = 177;
/// A member leaves an association.
pub const LEAVE_ASSOCIATION: u16 = 178;
/// Stops changes of an association.
pub const DISPUTE_ASSOCIATION: u16 = 179;
/// Ends a dispute.
pub const SETTLE_ASSOCIATION: u16 = 180;
/// Chooses unlinkable addresses for an account.
pub const CHOOSE_ADDRESSES: u16 = 192;
/// Claims the right to use an address, once.
pub const USE_ADDRESS: u16 = 193;
/// Ends an account's address epoch.
pub const CLOSE_EPOCH: u16 = 194;
/// Lets a receiver find a payment.
pub const ANNOUNCE_PAYMENT: u16 = 195;
/// Deals what opens closed epochs to keepers.
pub const DEAL_VIEWING: u16 = 196;
/// Asks for approvals in nobody's name.
pub const OPEN_BLIND_CASE: u16 = 197;
/// Uses such approvals up.
pub const USE_BLIND_CASE: u16 = 198;
/// Publishes a tenant's audit terms.
pub const PUBLISH_AUDIT: u16 = 208;
/// Asks for a grant.
pub const REQUEST_GRANT: u16 = 209;
/// Issues a grant.
pub const ISSUE_GRANT: u16 = 210;
/// Opens a run of epochs of an account.
pub const OPEN_GRANT: u16 = 211;
/// Says what is about to be delivered.
pub const DELIVER_GRANT: u16 = 212;
/// Says what was looked at under a grant.
pub const USE_GRANT: u16 = 213;
/// Ends a grant.
pub const REVOKE_GRANT: u16 = 214;
/// Proposes a change of members or rules.
pub const PROPOSE_CHANGE: u16 = 48;
/// Approves one.
pub const APPROVE_CHANGE: u16 = 49;
/// Convicts a validator of two votes that exclude each other.
pub const EVIDENCE: u16 = 50;
/// Says what went wrong.
pub const COMPLAINT: u16 = 51;
/// Says which state a member has.
pub const AGREEMENT: u16 = 52;

/// The kind of encoded entry bytes, if they have one.
pub fn kind_of(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|kind| u16::from_be_bytes(*kind))
}

/// The name of a kind; `unknown` for others.
pub const fn kind_name(code: u16) -> &'static str {
    match code {
        NOTE => "note",
        OPEN_ACCOUNT => "open-account",
        CLOSE_ACCOUNT => "close-account",
        BIND_CREDENTIAL => "bind-credential",
        BIND_KEY => "bind-key",
        FREEZE_KEY => "freeze-key",
        UNFREEZE_KEY => "unfreeze-key",
        SCHEDULE_DESTROY_KEY => "schedule-destroy-key",
        CANCEL_DESTROY_KEY => "cancel-destroy-key",
        DESTROY_KEY => "destroy-key",
        ROTATE_KEY => "rotate-key",
        ROTATE_OWN_KEY => "rotate-self-key",
        CLOSE_OWN_ACCOUNT => "close-own-account",
        INTENT => "intent",
        RELEASE => "release",
        DEFINE_ATTEMPTS => "define-attempts",
        GRANT_ATTEMPT => "grant-attempt",
        PROVE_ATTEMPT => "prove-attempt",
        DEFINE_RATE => "define-rate",
        CHARGE_RATE => "charge-rate",
        DEFINE_APPROVAL => "define-approval",
        OPEN_APPROVAL => "open-approval",
        APPROVE => "approve",
        REFUSE_APPROVAL => "refuse-approval",
        WITHDRAW_APPROVAL => "withdraw-approval",
        USE_APPROVAL => "use-approval",
        DEFINE_TIMELOCK => "define-timelock",
        OPEN_TIMELOCK => "open-timelock",
        VETO_TIMELOCK => "veto-timelock",
        CANCEL_TIMELOCK => "cancel-timelock",
        EXECUTE_TIMELOCK => "execute-timelock",
        SEAL_VAULT => "seal-vault",
        ATTEMPT_VAULT => "attempt-vault",
        OPEN_VAULT => "open-vault",
        DESTROY_VAULT => "destroy-vault",
        ERASE_SHARES => "erase-shares",
        REFRESH_VAULT => "refresh-vault",
        APPOINT_DELEGATES => "appoint-delegates",
        REVOKE_DELEGATES => "revoke-delegates",
        OPEN_RECOVERY => "open-recovery",
        VETO_RECOVERY => "veto-recovery",
        CANCEL_RECOVERY => "cancel-recovery",
        EXECUTE_RECOVERY => "execute-recovery",
        DELEGATED_ACT => "delegated-act",
        OPEN_SHARED_KEY => "open-shared-key",
        BIND_SHARED_KEY => "bind-shared-key",
        INTENT_SHARED => "intent-shared",
        RENEW_SHARED_KEY => "renew-shared-key",
        REPLACE_DEVICE => "replace-device",
        CANCEL_DEVICE => "cancel-device",
        PUBLISH_POLICY => "publish-policy",
        PUBLISH_RISK => "publish-risk",
        OPEN_ASSOCIATION => "open-association",
        UPDATE_ASSOCIATION => "update-association",
        LEAVE_ASSOCIATION => "leave-association",
        DISPUTE_ASSOCIATION => "dispute-association",
        SETTLE_ASSOCIATION => "settle-association",
        CHOOSE_ADDRESSES => "choose-addresses",
        USE_ADDRESS => "use-address",
        CLOSE_EPOCH => "close-epoch",
        ANNOUNCE_PAYMENT => "announce-payment",
        DEAL_VIEWING => "deal-viewing",
        OPEN_BLIND_CASE => "open-blind-case",
        USE_BLIND_CASE => "use-blind-case",
        PUBLISH_AUDIT => "publish-audit",
        REQUEST_GRANT => "request-grant",
        ISSUE_GRANT => "issue-grant",
        OPEN_GRANT => "open-grant",
        DELIVER_GRANT => "deliver-grant",
        USE_GRANT => "use-grant",
        REVOKE_GRANT => "revoke-grant",
        PROPOSE_CHANGE => "propose-change",
        APPROVE_CHANGE => "approve-change",
        EVIDENCE => "evidence",
        COMPLAINT => "complaint",
        AGREEMENT => "agreement",
        _ => "unknown",
    }
}

/// The kind of a name, if there is one.
pub fn kind_from_name(name: &str) -> Option<u16> {
    (1..=REVOKE_GRANT).find(|code| kind_name(*code) == name && name != kind_name(0))
}
