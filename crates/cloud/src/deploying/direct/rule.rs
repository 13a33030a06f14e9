//! `AWS::IoT::TopicRule`, with those actions that the local core takes.

use aws_sdk_iot::types::{
    Action, LambdaAction, RepublishAction, S3Action, SqsAction, TopicRule, TopicRulePayload,
};
use jitp_stack::Made;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::properties::Properties;
use super::{DeployError, Direct, Present};
use crate::CloudError;
use crate::environment::OWNER;
use crate::environment::roles::{Found, gone};

impl Direct<'_> {
    pub(super) async fn rule(&self, properties: &Properties<'_>) -> Result<Present, DeployError> {
        properties.known(&["RuleName", "TopicRulePayload"])?;
        let name = properties.text("RuleName")?;
        let wanted = payload(properties)?;
        let arn = self.place.arn("iot", &format!("rule/{name}"));
        let found = match self.found_rule(name).await? {
            None => Found::nothing(),
            Some(present) => {
                let ours = self.cloud.is_owned(&arn, self.name).await?;
                Found::with(
                    ours,
                    &[
                        ("SQL", present.sql.as_deref() != Some(wanted.sql.as_str())),
                        (
                            "SQL version",
                            present.aws_iot_sql_version != wanted.aws_iot_sql_version,
                        ),
                        (
                            "actions",
                            present.actions.unwrap_or_default() != wanted.actions,
                        ),
                        ("error action", present.error_action != wanted.error_action),
                        (
                            "whether it is disabled",
                            present.rule_disabled.unwrap_or_default()
                                != wanted.rule_disabled.unwrap_or_default(),
                        ),
                    ],
                )
            }
        };
        Ok(Present {
            name: name.to_owned(),
            made: Made {
                reference: name.to_owned(),
                attributes: [("Arn".to_owned(), arn)].into(),
            },
            found,
        })
    }

    pub(super) async fn bring_rule(&self, properties: &Properties<'_>) -> Result<(), DeployError> {
        let name = properties.text("RuleName")?;
        let wanted = payload(properties)?;
        let exists = self.found_rule(name).await?.is_some();
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let tags = format!("{}={}", encoded(OWNER), encoded(self.name));
        let (cloud, iot) = (self.cloud, &self.cloud.iot);
        // AWS IoT judges the role that it is given.
        self.once_role_is_known(async || {
            if exists {
                let send = || {
                    let call = iot.replace_topic_rule().rule_name(name);
                    call.topic_rule_payload(wanted.clone()).send()
                };
                return cloud.call("ReplaceTopicRule", send).await.map(drop);
            }
            let send = || {
                let call = iot.create_topic_rule().rule_name(name).tags(&tags);
                call.topic_rule_payload(wanted.clone()).send()
            };
            match cloud.call("CreateTopicRule", send).await {
                // The answer to an earlier attempt was lost on the way.
                Err(error) if error.is("ResourceAlreadyExistsException") => Ok(()),
                other => other.map(drop),
            }
        })
        .await
    }

    pub(super) async fn delete_rule(&self, name: &str) -> Result<(), DeployError> {
        let send = || self.cloud.iot.delete_topic_rule().rule_name(name).send();
        Ok(gone(self.cloud.call("DeleteTopicRule", send).await)?)
    }

    async fn found_rule(&self, name: &str) -> Result<Option<TopicRule>, CloudError> {
        let send = || self.cloud.iot.get_topic_rule().rule_name(name).send();
        match self.cloud.call("GetTopicRule", send).await {
            // AWS IoT says of a rule that does not exist that one may not see it.
            Err(error) if error.is_not_found() || error.is("UnauthorizedException") => Ok(None),
            other => Ok(other?.rule),
        }
    }
}

fn payload(properties: &Properties<'_>) -> Result<TopicRulePayload, DeployError> {
    let payload = properties.within("TopicRulePayload")?;
    payload.known(&[
        "Sql",
        "Description",
        "AwsIotSqlVersion",
        "RuleDisabled",
        "Actions",
        "ErrorAction",
    ])?;
    let actions = payload.list("Actions")?.iter();
    let actions = actions.map(|one| action(&Properties::new(properties.id(), one)));
    let error_action = match payload.get("ErrorAction") {
        None => None,
        Some(one) => Some(action(&Properties::new(properties.id(), one))?),
    };
    let built = TopicRulePayload::builder()
        .sql(payload.text("Sql")?)
        .set_description(payload.optional_text("Description")?.map(str::to_owned))
        .set_aws_iot_sql_version(
            payload
                .optional_text("AwsIotSqlVersion")?
                .map(str::to_owned),
        )
        .set_rule_disabled(payload.boolean("RuleDisabled")?)
        .set_actions(Some(actions.collect::<Result<_, _>>()?))
        .set_error_action(error_action)
        .build();
    built.map_err(|_| properties.wrong("TopicRulePayload", "a rule"))
}

fn action(properties: &Properties<'_>) -> Result<Action, DeployError> {
    properties.known(&["Sqs", "Lambda", "Republish", "S3"])?;
    let wrong = |name| properties.wrong(name, "an action");
    let mut action = Action::builder();
    for (name, _) in properties.members() {
        let own = properties.within(name)?;
        action = match name {
            "Sqs" => {
                own.known(&["QueueUrl", "RoleArn", "UseBase64"])?;
                let sqs = SqsAction::builder()
                    .queue_url(own.text("QueueUrl")?)
                    .role_arn(own.text("RoleArn")?)
                    .set_use_base64(own.boolean("UseBase64")?);
                action.sqs(sqs.build().map_err(|_| wrong(name))?)
            }
            "Lambda" => {
                own.known(&["FunctionArn"])?;
                let lambda = LambdaAction::builder().function_arn(own.text("FunctionArn")?);
                action.lambda(lambda.build().map_err(|_| wrong(name))?)
            }
            "Republish" => {
                own.known(&["RoleArn", "Topic", "Qos"])?;
                let republish = RepublishAction::builder()
                    .role_arn(own.text("RoleArn")?)
                    .topic(own.text("Topic")?)
                    .set_qos(own.number("Qos")?);
                action.republish(republish.build().map_err(|_| wrong(name))?)
            }
            _ => {
                own.known(&["RoleArn", "BucketName", "Key"])?;
                let s3 = S3Action::builder()
                    .role_arn(own.text("RoleArn")?)
                    .bucket_name(own.text("BucketName")?)
                    .key(own.text("Key")?);
                action.s3(s3.build().map_err(|_| wrong(name))?)
            }
        };
    }
    Ok(action.build())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_is_read_and_what_it_cannot_be_is_named() {
        let queue = json!({"Sqs": {"QueueUrl": "u", "RoleArn": "r", "UseBase64": false}});
        let rule = json!({"RuleName": "n", "TopicRulePayload": {"Sql": "SELECT 1", "Actions": [queue], "ErrorAction": queue}});
        let read = payload(&Properties::new("Rule", &rule)).unwrap();
        assert_eq!(read.sql, "SELECT 1");
        assert_eq!(read.actions[0].sqs.as_ref().unwrap().queue_url, "u");
        assert_eq!(read.error_action.as_ref(), read.actions.first());

        let firehose = json!({"RuleName": "n", "TopicRulePayload": {"Sql": "x", "Actions": [{"Firehose": {}}]}});
        let error = payload(&Properties::new("Rule", &firehose)).unwrap_err();
        assert!(error.to_string().contains("Firehose"), "{error}");
    }
}
