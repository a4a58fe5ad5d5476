/** Both are empty outside of Ephemera. The base path is also empty in host form. */
const basePath = process.env.EPHEMERA_BASE_PATH ?? '';
const url = process.env.EPHEMERA_URL;

export default { basePath, allowedDevOrigins: url ? [new URL(url).hostname] : [] };
