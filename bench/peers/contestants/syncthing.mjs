/**
 * Syncthing: two instances on 127.0.0.1 without discovery, relays, NAT or telemetry. The source is shared send-only, the
 * target receive-only. Both run and are connected, and the source is scanned, before the target's folder is resumed:
 * what is timed is the sync alone.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { nowMs, sleep } from '../../support/common.mjs';
import { missingProgram, programVersion } from '../support/programs.mjs';
import { freePort, runProgram, Service } from '../support/service.mjs';
import { FOLDER_CASES } from '../support/folder-case.mjs';

const POLL_MS = 10;
const SYNC_MS_MAX = 1_200_000;
/** Syncthing's own least whole number; its default is 10 s. */
const WATCH_DELAY_SECONDS = 1;
const STATUS = '/rest/db/status?folder=share';

class Instance {
  constructor(name, folder, type) {
    this.name = name;
    this.folder = folder;
    this.type = type;
    this.key = randomBytes(12).toString('hex');
  }

  async prepare(space) {
    this.home = space.makeFolder(`syncthing-${this.name}`);
    this.port = await freePort();
    this.apiPort = await freePort();
    mkdirSync(join(this.folder, '.stfolder'), { recursive: true });
    await runProgram(space, 'syncthing', ['generate', '--home', this.home, '--no-default-folder']);
    const { output } = await runProgram(space, 'syncthing', ['--home', this.home, '--device-id']);
    this.id = output.trim();
  }

  async start(space, other) {
    writeFileSync(join(this.home, 'config.xml'), configuration(this, other));
    // Without the process that watches over it, which would be one more to end.
    const environment = { STNOUPGRADE: '1', STNODEFAULTFOLDER: '1', STMONITORED: 'yes' };
    const parameters = ['serve', '--home', this.home, '--no-browser', '--no-restart', '--no-upgrade'];
    this.service = new Service(space, 'syncthing', parameters, { environment });
    await this.service.until(() => this.call('/rest/system/ping').then(() => true));
  }

  async call(path, options = {}) {
    const reply = await fetch(`http://127.0.0.1:${this.apiPort}${path}`, { ...options, headers: { 'X-API-Key': this.key } });
    if (!reply.ok) throw new Error(`syncthing answered ${path} with ${reply.status}`);
    const text = await reply.text();
    return text === '' ? {} : JSON.parse(text);
  }

  /** Returns when the scan is over. */
  scan() {
    return this.call('/rest/db/scan?folder=share', { method: 'POST' });
  }

  async wireBytes() {
    const { total } = await this.call('/rest/system/connections');
    return total.inBytesTotal + total.outBytesTotal;
  }

  async isConnectedTo(other) {
    const { connections } = await this.call('/rest/system/connections');
    return connections[other.id]?.connected === true;
  }

  /** The version of a path here and that which this instance knows to be the newest; an unknown path is an error. */
  async versionsOf(path) {
    const { local, global } = await this.call(`/rest/db/file?folder=share&file=${encodeURIComponent(path)}`);
    return { local: JSON.stringify(local?.version), global: JSON.stringify(global?.version) };
  }
}

function configuration(own, other) {
  const device = ({ id, name, port }) =>
    `<device id="${id}" name="${name}" compression="metadata"><address>${port === own.port ? 'dynamic' : `tcp://127.0.0.1:${port}`}</address></device>`;
  const folder = [
    `id="share" label="share" path="${own.folder}" type="${own.type}" rescanIntervalS="3600"`,
    `fsWatcherEnabled="true" fsWatcherDelayS="${WATCH_DELAY_SECONDS}" ignorePerms="false" autoNormalize="true"`,
  ].join(' ');
  // With low priority it would be nicer than the others, and in a process group of its own.
  const off = [
    'globalAnnounceEnabled',
    'localAnnounceEnabled',
    'relaysEnabled',
    'natEnabled',
    'crashReportingEnabled',
    'startBrowser',
    'setLowPriority',
  ];
  return `<configuration version="36">
<folder ${folder}><filesystemType>basic</filesystemType><paused>${own.type === 'receiveonly'}</paused>
<device id="${own.id}"></device><device id="${other.id}"></device></folder>
${device(own)}${device(other)}
<gui enabled="true" tls="false"><address>127.0.0.1:${own.apiPort}</address><apikey>${own.key}</apikey></gui>
<options><listenAddress>tcp://127.0.0.1:${own.port}</listenAddress>${off.map((name) => `<${name}>false</${name}>`).join('')}
<urAccepted>-1</urAccepted><autoUpgradeIntervalH>0</autoUpgradeIntervalH><reconnectionIntervalS>1</reconnectionIntervalS>
<limitBandwidthInLan>false</limitBandwidthInLan></options></configuration>
`;
}

async function until(condition) {
  const deadlineMs = nowMs() + SYNC_MS_MAX;
  while (!(await condition())) {
    if (nowMs() > deadlineMs) throw new Error(`syncthing did not come to an end within ${SYNC_MS_MAX / 1000} s`);
    await sleep(POLL_MS);
  }
}

/** As many files and bytes as the source has are known at the target, and none of them is missing there. */
async function holdsAll(source, target) {
  const [there, here] = [await source.call(STATUS), await target.call(STATUS)];
  const same =
    there.globalBytes === here.globalBytes && there.globalFiles === here.globalFiles && there.globalDeleted === here.globalDeleted;
  return same && here.state === 'idle' && here.needTotalItems === 0;
}

/** Numbers alone do not tell a file that was replaced by one of its size: the versions of what was changed do. */
async function hasHeardOf(source, target, paths) {
  for (const path of paths) {
    const [there, here] = [await source.versionsOf(path), await target.versionsOf(path)];
    if (there.local !== here.local || here.local !== here.global) return false;
  }
  return true;
}

async function open({ space, source: sourceFolder, target: targetFolder }) {
  const source = new Instance('source', sourceFolder, 'sendonly');
  const target = new Instance('target', targetFolder, 'receiveonly');
  await source.prepare(space);
  await target.prepare(space);
  await Promise.all([source.start(space, target), target.start(space, source)]);
  await until(async () => {
    const { state, globalFiles } = await source.call(STATUS);
    return state === 'idle' && globalFiles > 0 && (await target.isConnectedTo(source));
  });
  return {
    async first() {
      const before = await target.wireBytes();
      const sinceMs = nowMs();
      await target.call('/rest/config/folders/share', { method: 'PATCH', body: '{"paused":false}' });
      await until(() => holdsAll(source, target).catch(() => false));
      return { seconds: (nowMs() - sinceMs) / 1000, bytes: (await target.wireBytes()) - before };
    },
    async again(changed) {
      const before = await target.wireBytes();
      const sinceMs = nowMs();
      // A target that has nothing to pull looks at its own folder, as we and rsync do.
      await Promise.all(changed.length === 0 ? [source.scan(), target.scan()] : [source.scan()]);
      await until(async () => (await hasHeardOf(source, target, changed).catch(() => false)) && (await holdsAll(source, target)));
      return { seconds: (nowMs() - sinceMs) / 1000, bytes: (await target.wireBytes()) - before };
    },
  };
}

export const contestants = [
  {
    name: 'syncthing',
    about: 'two instances, TLS',
    program: 'syncthing',
    version: () => programVersion('syncthing', ['--version']).split(' ').slice(0, 2).join(' '),
    missing: () => missingProgram('syncthing'),
    cases: [...FOLDER_CASES, 'live-change', 'index'],
    open,
    /** Of an instance that starts with an empty database. */
    async index({ space, source: folder }) {
      const source = new Instance('source', folder, 'sendonly');
      const other = new Instance('target', space.makeFolder('none'), 'receiveonly');
      await source.prepare(space);
      await other.prepare(space);
      await source.start(space, other);
      await until(async () => {
        const { state, globalFiles } = await source.call(STATUS);
        return state === 'idle' && globalFiles > 0;
      });
      return { seconds: (nowMs() - source.service.startedMs) / 1000, cpuSeconds: source.service.cpuSeconds() };
    },
  },
];
