// Judges the broker with mqtt.js and the AWS IoT Device SDK for JavaScript v2, over both versions.
'use strict';

const { execFile } = require('node:child_process');
const { randomBytes } = require('node:crypto');
const { mkdtempSync, readFileSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const path = require('node:path');
const { promisify } = require('node:util');

const modules = process.argv[2]; // the node_modules that setup.sh filled
const mqttjs = require(path.join(modules, 'mqtt'));
const { iot, mqtt, mqtt5 } = require(path.join(modules, 'aws-iot-device-sdk-v2'));

const SECONDS = 15;
const MANY = 40;
const NOT_AUTHORIZED = 0x87;

const [host, port] = process.env.AWS_IOT_ENDPOINT.split(':');
const cafile = process.env.AWS_IOT_CAFILE;
const folder = mkdtempSync(path.join(tmpdir(), 'interop-node-'));

const cases = [];
const judge = (name, body) => cases.push({ name, body });

// A program of the toolkit, run in the folder of this judge.
const run = (program, ...words) =>
  promisify(execFile)(path.join(process.env.BIN, program), words, { cwd: folder });

// A device with its certificate: never seen by the core, or provisioned before.
async function neverSeen(...flags) {
  const name = `device-${randomBytes(4).toString('hex')}`;
  await run('provision', name, ...flags);
  const file = (ending) => path.join(folder, `${name}.${ending}`);
  return { name, certificate: file('crt'), key: file('key') };
}
const known = () => neverSeen('--connect');

function assert(truth, otherwise) {
  if (!truth) throw new Error(otherwise);
}

// The promise's value, or a failure that says what never came.
function soon(promise, what, seconds = SECONDS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not in ${seconds} s`)), seconds * 1000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

const once = (emitter, event) => new Promise((resolve) => emitter.once(event, resolve));

// Collects payloads; `all` is fulfilled when so many have come.
function collector(count) {
  const payloads = [];
  let done;
  const all = new Promise((resolve) => (done = resolve));
  const take = (payload) => {
    payloads.push(Buffer.from(payload).toString());
    if (payloads.length === count) done(payloads);
  };
  return { all, take };
}

function assertInOrder(payloads) {
  const expected = Array.from({ length: MANY }, (_, number) => `message ${number}`);
  assert(payloads.join() === expected.join(), `got ${payloads.join()}`);
}

// mqtt.js

function connectMqttJs(device, protocolVersion, options = {}) {
  return mqttjs.connect({
    host,
    port: Number(port),
    protocol: 'mqtts',
    ca: readFileSync(cafile),
    cert: readFileSync(device.certificate),
    key: readFileSync(device.key),
    clientId: device.name,
    protocolVersion,
    reconnectPeriod: 500,
    ...options,
  });
}

for (const [version, protocolVersion] of [['3.1.1', 4], ['5', 5]]) {
  judge(`mqtt.js ${version}: a newcomer gets in by mqtt.js' own reconnecting`, async () => {
    const client = connectMqttJs(await neverSeen(), protocolVersion);
    let closed = 0;
    client.on('close', () => closed++);
    client.on('error', () => {}); // it reconnects all the same
    await soon(once(client, 'connect'), 'CONNACK');
    assert(closed > 0, 'connected at the first attempt');
    await client.endAsync();
  });

  judge(`mqtt.js ${version}: messages come back in order`, async () => {
    const device = await known();
    const client = connectMqttJs(device, protocolVersion);
    await soon(once(client, 'connect'), 'CONNACK');
    for (const qos of [0, 1]) {
      const { all, take } = collector(MANY);
      const onMessage = (_, payload) => take(payload);
      client.on('message', onMessage);
      const [granted] = await client.subscribeAsync(device.name, { qos });
      assert(granted.qos === qos, `granted QoS ${granted.qos}`);
      for (let number = 0; number < MANY; number++) {
        await client.publishAsync(device.name, `message ${number}`, { qos });
      }
      assertInOrder(await soon(all, `${MANY} messages`));
      client.off('message', onMessage);
      await client.unsubscribeAsync(device.name);
    }
    await client.endAsync();
  });
}

judge('mqtt.js 3.1.1: a denied publish closes the connection', async () => {
  const client = connectMqttJs(await known(), 4, { reconnectPeriod: 0 });
  await soon(once(client, 'connect'), 'CONNACK');
  const closed = once(client, 'close');
  client.publish('not/mine', 'x');
  await soon(closed, 'the close');
});

judge('mqtt.js 5: a denied publish is told, and properties travel', async () => {
  const device = await known();
  const client = connectMqttJs(device, 5);
  await soon(once(client, 'connect'), 'CONNACK');
  const denied = await client.publishAsync('not/mine', 'x', { qos: 1 }).catch((error) => error);
  assert(denied.code === NOT_AUTHORIZED, `PUBACK ${denied.code}`);
  const message = new Promise((resolve) => client.on('message', (...all) => resolve(all)));
  await client.subscribeAsync(device.name, { qos: 1 });
  const properties = { contentType: 'text/plain', userProperties: { one: '1', two: '2' } };
  await client.publishAsync(device.name, 'x', { qos: 1, properties });
  const [, , packet] = await soon(message, 'the message');
  assert(packet.properties.contentType === 'text/plain', 'the content type is lost');
  assert(packet.properties.userProperties.two === '2', 'the user properties are lost');
  await client.endAsync();
});

// The AWS IoT Device SDK

function sdk5(device) {
  const builder = iot.AwsIotMqtt5ClientConfigBuilder.newDirectMqttBuilderWithMtlsFromPath(
    host,
    device.certificate,
    device.key,
  );
  builder.withCertificateAuthorityFromPath(undefined, cafile);
  builder.withPort(Number(port));
  builder.withConnectProperties({ clientId: device.name, keepAliveIntervalSeconds: 30 });
  builder.withMinReconnectDelayMs(500);
  return new mqtt5.Mqtt5Client(builder.build());
}

async function stop(client) {
  const stopped = once(client, 'stopped');
  client.stop();
  await soon(stopped, 'the end');
  client.close();
}

judge("AWS SDK, MQTT 5: a newcomer gets in by the SDK's own reconnecting", async () => {
  const client = sdk5(await neverSeen());
  let failures = 0;
  client.on('connectionFailure', () => failures++);
  const connected = once(client, 'connectionSuccess');
  client.start();
  await soon(connected, 'CONNACK');
  assert(failures > 0, 'connected at the first attempt');
  await stop(client);
});

judge('AWS SDK, MQTT 5: messages come back in order', async () => {
  const device = await known();
  const client = sdk5(device);
  const connected = once(client, 'connectionSuccess');
  client.start();
  await soon(connected, 'CONNACK');
  const { all, take } = collector(MANY);
  client.on('messageReceived', (event) => take(event.message.payload));
  const qos = mqtt5.QoS.AtLeastOnce;
  await client.subscribe({ subscriptions: [{ topicFilter: device.name, qos }] });
  for (let number = 0; number < MANY; number++) {
    await client.publish({ topicName: device.name, qos, payload: `message ${number}` });
  }
  assertInOrder(await soon(all, `${MANY} messages`));
  const denied = await client.publish({ topicName: 'not/mine', qos, payload: 'x' });
  assert(denied.reasonCode === NOT_AUTHORIZED, `PUBACK ${denied.reasonCode}`);
  await stop(client);
});

judge('AWS SDK, MQTT 3.1.1: messages come back in order', async () => {
  const device = await known();
  const builder = iot.AwsIotMqttConnectionConfigBuilder.new_mtls_builder_from_path(
    device.certificate,
    device.key,
  );
  builder.with_certificate_authority_from_path(undefined, cafile);
  builder.with_endpoint(host);
  builder.with_port(Number(port));
  builder.with_client_id(device.name);
  builder.with_clean_session(true);
  const connection = new mqtt.MqttClient().new_connection(builder.build());
  await soon(connection.connect(), 'CONNACK');
  const { all, take } = collector(MANY);
  const qos = mqtt.QoS.AtLeastOnce;
  await connection.subscribe(device.name, qos, (_, payload) => take(payload));
  for (let number = 0; number < MANY; number++) {
    await connection.publish(device.name, `message ${number}`, qos);
  }
  assertInOrder(await soon(all, `${MANY} messages`));
  await connection.disconnect();
});

(async () => {
  let failed = false;
  try {
    await run('create-root');
    await run('register');
    for (const { name, body } of cases) {
      try {
        await soon(body(), 'the end of the case', 3 * SECONDS);
        console.log(`ok   ${name}`);
      } catch (error) {
        failed = true;
        console.log(`FAIL ${name}: ${String(error.message || error).replace(/\s+/g, ' ')}`);
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  process.exit(failed ? 1 : 0);
})();
