/** Files of a folder over HTTP on loopback, with connections kept alive, and a count of the bytes that crossed. */
import { createReadStream, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { join, normalize } from 'node:path';
import { serveCommands } from '../../support/worker-commands.mjs';

const sockets = new Set();
let closedBytes = 0;
const bytesOf = (socket) => socket.bytesRead + socket.bytesWritten;

function reply(folder, request, response) {
  const path = join(folder, normalize(`/${decodeURIComponent(new URL(request.url, 'http://x').pathname)}`));
  const bytes = statSync(path, { throwIfNoEntry: false })?.size;
  if (bytes === undefined) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { 'content-length': bytes });
  createReadStream(path).pipe(response);
}

serveCommands({
  serve: ({ folder }) =>
    new Promise((resolve) => {
      const server = createServer((request, response) => reply(folder, request, response));
      server.on('connection', (socket) => {
        sockets.add(socket);
        socket.on('close', () => {
          sockets.delete(socket);
          closedBytes += bytesOf(socket);
        });
      });
      server.listen(0, '127.0.0.1', () => resolve({ port: server.address().port }));
    }),
  traffic: () => ({ bytes: [...sockets].reduce((sum, socket) => sum + bytesOf(socket), closedBytes) }),
});
