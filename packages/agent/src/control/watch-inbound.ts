import type { MultiaddrConnection, Transport, Upgrader } from "@libp2p/interface";

/** The transport, telling of every inbound connection whose upgrade fails: refused by a limit, by an encrypter, or gone. */
export function watchInbound(transport: Transport, onFailed: (connection: MultiaddrConnection, error: unknown) => void): Transport {
  const createListener = transport.createListener.bind(transport);
  return Object.assign(transport, {
    createListener: (options: Parameters<Transport["createListener"]>[0]) =>
      createListener({ ...options, upgrader: watchUpgrades(options.upgrader, onFailed) }),
  });
}

function watchUpgrades(upgrader: Upgrader, onFailed: (connection: MultiaddrConnection, error: unknown) => void): Upgrader {
  return {
    upgradeInbound: async (connection, options) => {
      try {
        await upgrader.upgradeInbound(connection, options);
      } catch (error) {
        onFailed(connection, error);
        throw error;
      }
    },
    upgradeOutbound: upgrader.upgradeOutbound.bind(upgrader),
    createInboundAbortSignal: (signal) => upgrader.createInboundAbortSignal(signal),
    getStreamMuxers: () => upgrader.getStreamMuxers(),
    getConnectionEncrypters: () => upgrader.getConnectionEncrypters(),
  };
}
