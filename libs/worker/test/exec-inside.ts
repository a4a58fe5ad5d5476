import type Docker from 'dockerode';

/** Runs a shell command in a container. Returns its output and exit code. */
export async function execInside(
  docker: Docker,
  containerId: string,
  line: string,
): Promise<{ code: number | null; text: string }> {
  const exec = await docker.getContainer(containerId).exec({
    Cmd: ['/bin/sh', '-c', line],
    AttachStdout: true,
    AttachStderr: true,
    Tty: true,
  });
  const stream = await exec.start({ Tty: true });
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return { code: (await exec.inspect()).ExitCode, text };
}
