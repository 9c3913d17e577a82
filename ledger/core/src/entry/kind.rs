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
