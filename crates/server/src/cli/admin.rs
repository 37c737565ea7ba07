//! Commands that administer users, groups, roles, keys and policies.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{KeyArgs, PolicyExplainArgs};

/// The server that is asked, and who asks.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// URL of the running server
    #[arg(
        long,
        env = "COSTREL_ENDPOINT",
        value_name = "URL",
        default_value = "http://127.0.0.1:9000"
    )]
    pub endpoint: String,
    /// PEM file with the certificates that vouch for an https endpoint; those that the
    /// system knows if not given
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Region in the request's signature
    #[arg(long, env = "COSTREL_REGION", default_value = "ap-guangzhou")]
    pub region: String,
    /// Print the answer in JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub key: KeyArgs,
}

/// Somebody or something by its name.
#[derive(Debug, Args)]
pub struct NameArgs {
    /// Its name
    pub name: String,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Its name
    pub name: String,
    /// Take keys, policies and memberships along
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Name of the user or the role
    pub name: String,
    /// Only sessions that call themselves so
    #[arg(long, value_name = "NAME")]
    pub session: Option<String>,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make a user, who may do nothing yet
    Create(Box<NameArgs>),
    /// List the users
    List(Box<ListArgs>),
    /// Show a user with his keys, groups and policies
    Show(Box<NameArgs>),
    /// Delete a user who has no keys, policies and groups any more
    Delete(Box<DeleteArgs>),
    /// Let the temporary keys that he has asked for as himself until now do nothing any more;
    /// those of roles that he has taken on end with `costrel role revoke`
    Revoke(Box<RevokeArgs>),
}

#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// Make a group, with nobody in it
    Create(Box<NameArgs>),
    /// List the groups
    List(Box<ListArgs>),
    /// Show a group with its users and policies
    Show(Box<NameArgs>),
    /// Delete a group that has no users and policies any more
    Delete(Box<DeleteArgs>),
    /// Put a user into a group
    Add(Box<MemberArgs>),
    /// Take a user out of a group
    Remove(Box<MemberArgs>),
}

#[derive(Debug, Args)]
pub struct MemberArgs {
    /// Name of the group
    pub group: String,
    /// Name of the user
    pub user: String,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Subcommand)]
pub enum RoleCommand {
    /// Make a role; a trust policy says who may take it on
    Create(Box<RoleCreateArgs>),
    /// List the roles
    List(Box<ListArgs>),
    /// Show a role with its policies
    Show(Box<NameArgs>),
    /// Give a role another trust policy
    Trust(Box<TrustArgs>),
    /// Delete a role that has no policies any more
    Delete(Box<DeleteArgs>),
    /// Let everybody who has taken it on until now do nothing any more
    Revoke(Box<RevokeArgs>),
}

#[derive(Debug, Args)]
pub struct RoleCreateArgs {
    /// Its name
    pub name: String,
    #[command(flatten)]
    pub trust: PolicyFileArgs,
    /// What it is for
    #[arg(long, default_value = "")]
    pub description: String,
    /// The longest that one may have it at a time, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "3600")]
    pub session_duration: u32,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct TrustArgs {
    /// Name of the role
    pub name: String,
    #[command(flatten)]
    pub trust: PolicyFileArgs,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct PolicyFileArgs {
    /// File with the policy, in JSON in IAM's grammar; `-` for the standard input
    pub file: PathBuf,
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key for a user; its secret is shown once
    Create(Box<KeyOwnerArgs>),
    /// List a user's keys
    List(Box<KeyOwnerArgs>),
    /// Let requests signed with a key be refused, until it is enabled again
    Disable(Box<KeyNameArgs>),
    /// Let a disabled key sign again
    Enable(Box<KeyNameArgs>),
    /// Delete a key
    Delete(Box<KeyNameArgs>),
}

#[derive(Debug, Args)]
pub struct KeyOwnerArgs {
    /// Name of the user
    pub user: String,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct KeyNameArgs {
    /// Name of the user
    pub user: String,
    /// The key's id
    pub id: String,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    #[command(flatten)]
    Managed(ManagedPolicyCommand),
    /// Say whether somebody may do something, and by which statement, grant or rule. Exits
    /// with 1 if he may not. Takes the settings of `serve`, to find the server's console
    /// endpoint and the master key, which shows that its operator asks
    Explain(Box<PolicyExplainArgs>),
}

/// Policies that stand by themselves.
#[derive(Debug, Subcommand)]
pub enum ManagedPolicyCommand {
    /// Make a policy that can be attached
    Create(Box<PolicyCreateArgs>),
    /// List the policies that there are
    List(Box<ListArgs>),
    /// Show a policy with its text
    Show(Box<NameArgs>),
    /// Give a policy another text, which counts from then on for whoever has it
    Update(Box<PolicyUpdateArgs>),
    /// Delete a policy that nobody has
    Delete(Box<NameArgs>),
    /// Let a policy count for a user, a group or a role
    Attach(Box<AttachArgs>),
    /// Let it count no more
    Detach(Box<AttachArgs>),
}

#[derive(Debug, Args)]
pub struct PolicyCreateArgs {
    /// Its name
    pub name: String,
    #[command(flatten)]
    pub document: PolicyFileArgs,
    /// What it is for
    #[arg(long, default_value = "")]
    pub description: String,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct PolicyUpdateArgs {
    /// Name or Arn of the policy
    pub name: String,
    #[command(flatten)]
    pub document: PolicyFileArgs,
    #[command(flatten)]
    pub server: ServerArgs,
}

#[derive(Debug, Args)]
pub struct AttachArgs {
    /// Name or Arn of the policy
    pub name: String,
    #[command(flatten)]
    pub to: HolderArgs,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Whose policy it is to be.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct HolderArgs {
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub role: Option<String>,
}

/// What is asked of a server's IAM.
#[derive(Debug)]
pub enum AdminCommand {
    User(UserCommand),
    Group(GroupCommand),
    Role(RoleCommand),
    Key(KeyCommand),
    Policy(ManagedPolicyCommand),
}

impl AdminCommand {
    pub fn server(&self) -> &ServerArgs {
        match self {
            AdminCommand::User(command) => match command {
                UserCommand::Create(args) | UserCommand::Show(args) => &args.server,
                UserCommand::List(args) => &args.server,
                UserCommand::Delete(args) => &args.server,
                UserCommand::Revoke(args) => &args.server,
            },
            AdminCommand::Group(command) => match command {
                GroupCommand::Create(args) | GroupCommand::Show(args) => &args.server,
                GroupCommand::List(args) => &args.server,
                GroupCommand::Delete(args) => &args.server,
                GroupCommand::Add(args) | GroupCommand::Remove(args) => &args.server,
            },
            AdminCommand::Role(command) => match command {
                RoleCommand::Create(args) => &args.server,
                RoleCommand::Trust(args) => &args.server,
                RoleCommand::List(args) => &args.server,
                RoleCommand::Show(args) => &args.server,
                RoleCommand::Delete(args) => &args.server,
                RoleCommand::Revoke(args) => &args.server,
            },
            AdminCommand::Key(command) => match command {
                KeyCommand::Create(args) | KeyCommand::List(args) => &args.server,
                KeyCommand::Disable(args) | KeyCommand::Enable(args) | KeyCommand::Delete(args) => {
                    &args.server
                }
            },
            AdminCommand::Policy(command) => match command {
                ManagedPolicyCommand::Create(args) => &args.server,
                ManagedPolicyCommand::Update(args) => &args.server,
                ManagedPolicyCommand::List(args) => &args.server,
                ManagedPolicyCommand::Show(args) | ManagedPolicyCommand::Delete(args) => {
                    &args.server
                }
                ManagedPolicyCommand::Attach(args) | ManagedPolicyCommand::Detach(args) => {
                    &args.server
                }
            },
        }
    }
}
