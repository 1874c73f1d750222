//! `tidegate user …`: who may what with topics, and who may manage this node.
use super::{
    OK,
    add::{Common, Manage},
    failure::Failure,
    password,
    resources::{Kind, Ls, Named, Of, Rm},
    say, yaml,
};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use tidegate_config::ResourceKind;
use tidegate_control::access::{password::hash, published};

#[derive(Subcommand)]
pub(super) enum User {
    /// All of them.
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// One, whole.
    Info(Named),
    /// Make one. Asks for the password; only its hash leaves this machine.
    Add(Add),
    /// Change what is named, and nothing else. Another password or connection token ends the sessions of the one before.
    Set(Set),
    /// Remove it.
    Rm(Rm),
}
#[derive(Args)]
pub(super) struct Add {
    #[command(flatten)]
    common: Common,
    /// It is a connection token, for clients of the Memphis dialect, and not a password.
    #[arg(long)]
    connection_token: bool,
    #[command(flatten)]
    rights: Rights,
    /// Take the password from standard input, one line, and do not ask.
    #[arg(long)]
    password_stdin: bool,
    /// Print it as a file declares it, and make nothing: nodes that share files share it.
    #[arg(long)]
    print: bool,
}
#[derive(Args)]
pub(super) struct Set {
    /// Which.
    name: String,
    /// Ask for a new password.
    #[arg(long, conflicts_with = "connection_token")]
    password: bool,
    /// Ask for a new connection token.
    #[arg(long)]
    connection_token: bool,
    #[command(flatten)]
    rights: Rights,
    /// Take the password or connection token from standard input, one line, and do not ask.
    #[arg(long)]
    password_stdin: bool,
}
#[derive(Args)]
struct Rights {
    /// How far the user may manage this node; without it not at all.
    #[arg(long, value_enum)]
    manage: Option<Manage>,
    /// Topics and stations it may publish to and subscribe to: a name, a filter like orders/#, or # for all. May be given several times.
    #[arg(long = "allow", value_name = "FILTER", value_parser = filter)]
    allow: Vec<String>,
}
/// As people write patterns elsewhere: here it would allow one topic that nobody has.
fn filter(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err("`*` stands for nothing here: `#` at the end is all that follows, `+` one part between slashes".to_owned());
    }
    Ok(text.to_owned())
}
impl Rights {
    fn put(&self, user: &mut Map<String, Value>) {
        if !self.allow.is_empty() {
            let permission = json!({"topics": self.allow, "allow": ["publish", "subscribe"]});
            user.insert("permissions".to_owned(), json!([permission]));
        }
        user.extend(self.manage.map(|manage| ("manage".to_owned(), manage.as_str().into())));
    }
}
/// The name of the member and what it holds: a hash of what was asked for.
fn proof(connection_token: bool, from_input: bool) -> Result<(String, Value), Failure> {
    let shown = password::ask(from_input)?;
    if published(shown.as_bytes()) {
        let hint = "it is one of the first that a guesser tries; `openssl rand -hex 16` makes a good one";
        return Err(Failure::command("public documents print this password; nothing was changed").hint(hint));
    }
    let member = if connection_token { "connection_token" } else { "password" };
    Ok((member.to_owned(), json!({"argon2": hash(&shown)?})))
}
impl Add {
    fn document(&self) -> Result<Map<String, Value>, Failure> {
        let mut document = self.common.document("user");
        document.extend([proof(self.connection_token, self.password_stdin)?]);
        self.rights.put(&mut document);
        Ok(document)
    }
}
impl Of<User> {
    pub(super) async fn run(&self) -> Result<u8, Failure> {
        let kind = Kind::new(ResourceKind::User, &self.remote)?;
        match &self.verb {
            User::Ls(ls) => kind.ls(ls).await,
            User::Info(named) => kind.info(&named.name).await,
            User::Add(add) if add.print => {
                say(&yaml::document(&add.document()?.into()));
                Ok(OK)
            }
            User::Add(add) => kind.add(add.document()?).await,
            User::Set(set) => {
                let asks = set.password || set.connection_token || set.password_stdin;
                let proof = if asks {
                    Some(proof(set.connection_token, set.password_stdin)?)
                } else {
                    None
                };
                if proof.is_none() && set.rights.manage.is_none() && set.rights.allow.is_empty() {
                    let hint = "`--password`, `--connection-token`, `--allow FILTER` and `--manage …` say what";
                    return Err(Failure::command("nothing is to be changed").hint(hint));
                }
                let change = |user: &mut Map<String, Value>| {
                    user.extend(proof);
                    set.rights.put(user);
                };
                let changed = kind.change(&kind.path(&set.name), change).await?;
                kind.done("changed", &set.name, &changed);
                Ok(OK)
            }
            User::Rm(rm) => kind.rm_all(&rm.names).await,
        }
    }
}
