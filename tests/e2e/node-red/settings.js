// Node-RED writes only to a tmpfs. It has no login: the instance id in the URL is the secret.
module.exports = {
  uiPort: Number(process.env.EPHEMERA_PORT),
  uiHost: '0.0.0.0',
  userDir: '/tmp/node-red',
  flowFile: 'flows.json',
  credentialSecret: false,
  editorTheme: { tours: false, projects: { enabled: false }, palette: { editable: false } },
  telemetry: { enabled: false, updateNotification: false },
  logging: { console: { level: 'info' } },
};
