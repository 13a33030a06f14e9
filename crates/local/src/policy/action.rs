//! The actions a policy can speak of, and the kind of resource each is judged on.
//!
//! AWS IoT developer guide, "AWS IoT Core policy actions" and "Action resources".

/// Something a device wants to do.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
#[non_exhaustive]
pub enum Action {
    /// CONNECT; the resource is the client id.
    Connect,
    /// PUBLISH, HTTP publish, and the will at CONNECT; the resource is the topic.
    Publish,
    /// PUBLISH with RETAIN, asked in addition to [`Action::Publish`]; the resource is the topic.
    RetainPublish,
    /// SUBSCRIBE; the resource is the topic filter as text.
    Subscribe,
    /// Delivery of a message; the resource is the topic of the message, never the filter.
    Receive,
    /// HTTP; the resource is the topic.
    GetRetainedMessage,
    /// HTTP; granted on `*` only.
    ListRetainedMessages,
    /// HTTP; the resource is the thing, or thing/shadow.
    GetThingShadow,
    /// HTTP; the resource is the thing, or thing/shadow.
    UpdateThingShadow,
    /// HTTP; the resource is the thing, or thing/shadow.
    DeleteThingShadow,
    /// HTTP; granted on `*` only.
    ListNamedShadowsForThing,
    /// HTTP; the resource is the client id.
    GetConnection,
    /// HTTP; the resource is the client id.
    DeleteConnection,
    /// HTTP; the resource is the client id.
    ListSubscriptions,
    /// Credential provider; the resource is the role alias.
    AssumeRoleWithCertificate,
    /// HTTPS jobs endpoint; the resource is the thing.
    DescribeJobExecution,
    /// HTTPS jobs endpoint; the resource is the thing.
    GetPendingJobExecutions,
    /// HTTPS jobs endpoint; the resource is the thing.
    StartNextPendingJobExecution,
    /// HTTPS jobs endpoint; the resource is the thing.
    UpdateJobExecution,
}

/// The kind of resource an action is judged on: what follows the account in the ARN.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
#[non_exhaustive]
pub enum ResourceKind {
    /// `client/CLIENT-ID`
    Client,
    /// `topic/TOPIC`
    Topic,
    /// `topicfilter/FILTER`
    TopicFilter,
    /// `thing/NAME`
    Thing,
    /// `rolealias/ALIAS`
    RoleAlias,
    /// No resource of its own: granted on `*` only.
    Everything,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Connect,
        Self::Publish,
        Self::RetainPublish,
        Self::Subscribe,
        Self::Receive,
        Self::GetRetainedMessage,
        Self::ListRetainedMessages,
        Self::GetThingShadow,
        Self::UpdateThingShadow,
        Self::DeleteThingShadow,
        Self::ListNamedShadowsForThing,
        Self::GetConnection,
        Self::DeleteConnection,
        Self::ListSubscriptions,
        Self::AssumeRoleWithCertificate,
        Self::DescribeJobExecution,
        Self::GetPendingJobExecutions,
        Self::StartNextPendingJobExecution,
        Self::UpdateJobExecution,
    ];

    /// The name in a policy, for example `iot:Publish`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.names().0
    }

    /// The name, and an older one that means the same.
    pub(crate) const fn names(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Connect => ("iot:Connect", None),
            Self::Publish => ("iot:Publish", None),
            Self::RetainPublish => ("iot:RetainPublish", None),
            Self::Subscribe => ("iot:Subscribe", None),
            Self::Receive => ("iot:Receive", None),
            Self::GetRetainedMessage => ("iot:GetRetainedMessage", None),
            Self::ListRetainedMessages => ("iot:ListRetainedMessages", None),
            Self::GetThingShadow => ("iot:GetThingShadow", None),
            Self::UpdateThingShadow => ("iot:UpdateThingShadow", None),
            Self::DeleteThingShadow => ("iot:DeleteThingShadow", None),
            Self::ListNamedShadowsForThing => ("iot:ListNamedShadowsForThing", None),
            Self::GetConnection => ("iot:GetConnection", None),
            Self::DeleteConnection => ("iot:DeleteConnection", None),
            Self::ListSubscriptions => ("iot:ListSubscriptions", None),
            Self::AssumeRoleWithCertificate => ("iot:AssumeRoleWithCertificate", None),
            Self::DescribeJobExecution => (
                "iotjobsdata:DescribeJobExecution",
                Some("iot:DescribeJobExecution"),
            ),
            Self::GetPendingJobExecutions => (
                "iotjobsdata:GetPendingJobExecutions",
                Some("iot:GetPendingJobExecutions"),
            ),
            Self::StartNextPendingJobExecution => (
                "iotjobsdata:StartNextPendingJobExecution",
                Some("iot:StartNextPendingJobExecution"),
            ),
            Self::UpdateJobExecution => (
                "iotjobsdata:UpdateJobExecution",
                Some("iot:UpdateJobExecution"),
            ),
        }
    }

    /// The kind of resource it is judged on.
    #[must_use]
    pub const fn kind(self) -> ResourceKind {
        match self {
            Self::Connect
            | Self::GetConnection
            | Self::DeleteConnection
            | Self::ListSubscriptions => ResourceKind::Client,
            Self::Publish | Self::RetainPublish | Self::Receive | Self::GetRetainedMessage => {
                ResourceKind::Topic
            }
            Self::Subscribe => ResourceKind::TopicFilter,
            Self::GetThingShadow
            | Self::UpdateThingShadow
            | Self::DeleteThingShadow
            | Self::DescribeJobExecution
            | Self::GetPendingJobExecutions
            | Self::StartNextPendingJobExecution
            | Self::UpdateJobExecution => ResourceKind::Thing,
            Self::AssumeRoleWithCertificate => ResourceKind::RoleAlias,
            Self::ListRetainedMessages | Self::ListNamedShadowsForThing => ResourceKind::Everything,
        }
    }

    pub(crate) const fn bit(self) -> u32 {
        1 << self as u8
    }
}

impl ResourceKind {
    pub(crate) const ALL: [Self; 6] = [
        Self::Client,
        Self::Topic,
        Self::TopicFilter,
        Self::Thing,
        Self::RoleAlias,
        Self::Everything,
    ];

    /// What stands between the account and the name, for example `topic/`; empty for [`ResourceKind::Everything`].
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Client => "client/",
            Self::Topic => "topic/",
            Self::TopicFilter => "topicfilter/",
            Self::Thing => "thing/",
            Self::RoleAlias => "rolealias/",
            Self::Everything => "",
        }
    }

    /// The actions that are judged on this kind, as bits.
    pub(crate) fn actions(self) -> u32 {
        Action::ALL
            .iter()
            .filter(|action| action.kind() == self)
            .fold(0, |bits, action| bits | action.bit())
    }
}
