//! What a payload says, in words for whoever approves it: a line for each thing, complete, from the payload alone.

use super::{Amount, Call, Form, Meaning, Transfer, hex};

/// Chains whose coin is ether.
const ETHER: [&str; 6] =
    ["eip155:1", "eip155:10", "eip155:8453", "eip155:42161", "eip155:11155111", "eip155:560048"];

impl Meaning {
    /// One line for each transfer and call, then the fee, the place and the digest. Amounts are exact.
    pub fn words(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for Transfer { amount, to } in &self.transfers {
            lines.push(format!("pays {} to {to}", self.worth(amount)));
        }
        for Call { to, selector } in &self.calls {
            let what = selector.map_or("too little to be a call".to_owned(), |selector| hex(&selector));
            lines.push(match to {
                Some(to) => format!("calls the contract {to} with what is not understood here ({what})"),
                None => "creates a contract, which is not understood here".to_owned(),
            });
        }
        lines.extend(self.fee.as_ref().map(|fee| format!("costs at most {} beside", self.worth(fee))));
        lines.extend(self.network.as_ref().map(|network| format!("counts on {network}")));
        if self.form == Form::Opaque {
            lines.push("says nothing of itself".to_owned());
        }
        lines.extend(self.digests.iter().map(|digest| format!("digest {}", hex(digest))));
        lines
    }

    /// In the unit that people count in.
    fn worth(&self, amount: &Amount) -> String {
        let network = self.network.as_deref().unwrap_or("an unknown network");
        let (decimals, unit) = match amount.unit.as_str() {
            "wei" if ETHER.contains(&network) => (18, "ETH".to_owned()),
            "wei" => (18, format!("coins of {network}")),
            "sat" => (8, "BTC".to_owned()),
            unit if self.form == Form::Ethereum => (0, format!("smallest parts of the token {unit}")),
            unit => (amount.decimals, unit.to_owned()),
        };
        Amount { value: amount.value, decimals, unit }.short()
    }
}

impl Amount {
    /// Without zeros at the end that say nothing.
    fn short(&self) -> String {
        let (mut value, mut decimals) = (self.value, self.decimals);
        while decimals > 0 && value.is_multiple_of(10) {
            (value, decimals) = (value / 10, decimals - 1);
        }
        Self { value, decimals, unit: self.unit.clone() }.to_string()
    }
}
