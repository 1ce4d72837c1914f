/** libp2p with the modules the agent uses and nothing else; dials the address it is given. What an agent weighs is held against this. */
import { gossipsub } from "@chainsafe/libp2p-gossipsub";
import { noise } from "@chainsafe/libp2p-noise";
import { yamux } from "@chainsafe/libp2p-yamux";
import { identify, identifyPush } from "@libp2p/identify";
import { ping } from "@libp2p/ping";
import { tcp } from "@libp2p/tcp";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";

const node = await createLibp2p({
  addresses: { listen: ["/ip4/127.0.0.1/tcp/0"] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify(), identifyPush: identifyPush(), ping: ping(), pubsub: gossipsub({ allowPublishToZeroTopicPeers: true }) },
});
node.services.pubsub.subscribe("bench");
const [address] = process.argv.slice(2);
if (address !== undefined) await node.dial(multiaddr(address));
console.log(node.getMultiaddrs()[0]?.toString());
