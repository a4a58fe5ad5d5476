// All that it writes goes to a tmpfs; whoever has the link is its only user.
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
