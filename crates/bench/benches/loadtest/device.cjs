// One device of the load test as the shell toolkit had it: a process, mqtt.js, a message a second.
const [role, name, dir] = process.argv.slice(2);
const fs = require('fs');
const mqtt = require('mqtt');
const [host, port] = process.env.AWS_IOT_ENDPOINT.split(':');
const client = mqtt.connect({
  protocol: 'mqtts', host, port, clientId: name, reconnectPeriod: 1000,
  key: fs.readFileSync(`${dir}/${name}.key`), cert: fs.readFileSync(`${dir}/${name}.crt`),
  ca: fs.readFileSync(process.env.AWS_IOT_CAFILE),
});
client.on('error', () => {});
client.once('connect', () => {
  if (role === 'sub') {
    client.subscribe('loadtest/+');
    client.on('message', (topic, payload) => {
      const { device, sent } = JSON.parse(payload);
      client.publish('loadtest', JSON.stringify({ publisher: device, subscriber: name, sent, ack: Date.now() }));
    });
  } else {
    setInterval(() => client.publish(`loadtest/${name}`, JSON.stringify({ device: name, sent: Date.now() })), 1000);
  }
});
