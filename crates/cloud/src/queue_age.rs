//! How old the oldest message of a queue is: SQS has no attribute for it, CloudWatch has a metric.

use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat, ScanBy};

use crate::{Cloud, CloudError, Queue};

/// Seconds between two values of the metric (SQS developer guide, "Available CloudWatch metrics for Amazon SQS").
const PERIOD: i32 = 60;
/// How far back is looked for the latest value: CloudWatch has it some minutes late.
const BACK: Duration = Duration::from_secs(15 * 60);

impl Cloud {
    /// How many seconds old the oldest message of a queue was, as CloudWatch last heard before `now`; `None` if it has
    /// heard of none, as when the queue is empty. Messages that were received more than three times do not count.
    ///
    /// # Errors
    /// When the call fails, as without permission to `cloudwatch:GetMetricData`.
    pub async fn oldest_message_age(
        &self,
        queue: &Queue,
        now: SystemTime,
    ) -> Result<Option<u64>, CloudError> {
        let name = Dimension::builder()
            .name("QueueName")
            .value(queue.name.as_str());
        let metric = Metric::builder()
            .namespace("AWS/SQS")
            .metric_name("ApproximateAgeOfOldestMessage")
            .dimensions(name.build());
        let stat = MetricStat::builder()
            .metric(metric.build())
            .period(PERIOD)
            .stat("Maximum");
        let query = MetricDataQuery::builder()
            .id("age")
            .metric_stat(stat.build())
            .build();
        let send = || {
            let call = self.cloudwatch().get_metric_data();
            call.metric_data_queries(query.clone())
                .start_time(DateTime::from(now - BACK))
                .end_time(DateTime::from(now))
                .scan_by(ScanBy::TimestampDescending)
                .send()
        };
        let answer = self.call("GetMetricData", send).await?;
        let results = answer.metric_data_results.unwrap_or_default();
        let values = results.into_iter().filter_map(|result| result.values);
        let latest = values.flatten().next();
        Ok(latest.map(|seconds| seconds.max(0.0) as u64))
    }
}
