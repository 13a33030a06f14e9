//! What a device needs of an MQTT connection to ask and be answered, whoever makes the connection.

use tokio::time::Instant;

use super::{
    error::MqttError,
    message::{Message, Publish, Qos},
    reason::Reason,
    session::Session,
};

/// A connected client: [`Session`], or a connection that another engine made.
pub trait Client: Send {
    /// Subscribes to filters, and gives the broker's answer for each in their order.
    ///
    /// # Errors
    /// When there is no answer, or no connection any more.
    fn subscribe(
        &mut self,
        filters: &[String],
        qos: Qos,
    ) -> impl Future<Output = Result<Vec<Result<Qos, Reason>>, MqttError>> + Send;

    /// Publishes a message; at QoS 1 until it is acknowledged.
    ///
    /// # Errors
    /// When it is refused, or there is no connection any more.
    fn publish(&mut self, message: Publish) -> impl Future<Output = Result<(), MqttError>> + Send;

    /// The next message, or `None` when `deadline` passes first.
    ///
    /// # Errors
    /// When there is no connection any more.
    fn next_message(
        &mut self,
        deadline: Option<Instant>,
    ) -> impl Future<Output = Result<Option<Message>, MqttError>> + Send;

    /// Connections made so far: 1, unless a lost one was made again.
    fn connections(&self) -> u32;

    /// Disconnects in good order.
    ///
    /// # Errors
    /// When something was still under way and was not answered.
    fn disconnect(self) -> impl Future<Output = Result<(), MqttError>> + Send;
}

impl Client for Session {
    async fn subscribe(
        &mut self,
        filters: &[String],
        qos: Qos,
    ) -> Result<Vec<Result<Qos, Reason>>, MqttError> {
        Self::subscribe(self, filters, qos).await
    }

    async fn publish(&mut self, message: Publish) -> Result<(), MqttError> {
        Self::publish(self, message).await
    }

    async fn next_message(
        &mut self,
        deadline: Option<Instant>,
    ) -> Result<Option<Message>, MqttError> {
        Self::next_message(self, deadline).await
    }

    fn connections(&self) -> u32 {
        Self::connections(self)
    }

    async fn disconnect(self) -> Result<(), MqttError> {
        Self::disconnect(self).await
    }
}
