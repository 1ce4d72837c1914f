/**
 * Texts of UPnP's Internet Gateway Device: SSDP search, device description, SOAP. Routers write loose XML, so elements are looked
 * for by their names and the rest is not read; each search takes time in proportion to the text.
 */

/** Where to send SOAP, and for which of the services that do the same. */
export interface IgdService {
  readonly type: string;
  /** As the description says it: a URL, or a path to be taken from the description's. */
  readonly controlUrl: string;
}

/** A device of version 2 answers to a search for version 1, too (UPnP Device Architecture 1.1, section 1.3.2). */
const SEARCH_TARGET = "urn:schemas-upnp-org:device:InternetGatewayDevice:1";

/** What can map ports, best first. */
const SERVICE_TYPES: readonly string[] = [
  "urn:schemas-upnp-org:service:WANIPConnection:2",
  "urn:schemas-upnp-org:service:WANIPConnection:1",
  "urn:schemas-upnp-org:service:WANPPPConnection:1",
];

/** An M-SEARCH; devices answer within a second. */
export function formatSearch(host: string): string {
  const lines = ["M-SEARCH * HTTP/1.1", `HOST: ${host}`, 'MAN: "ssdp:discover"', "MX: 1", `ST: ${SEARCH_TARGET}`];
  return `${lines.join("\r\n")}\r\n\r\n`;
}

/** Where the device that answers a search has its description; undefined when this is no such answer. */
export function parseSearchAnswer(text: string): string | undefined {
  const [status = "", ...headers] = text.split("\r\n");
  if (!/^HTTP\/1\.\d 200\b/.test(status)) return undefined;
  for (const header of headers) {
    const colon = header.indexOf(":");
    if (header.slice(0, colon).toLowerCase() === "location") return header.slice(colon + 1).trim();
  }
  return undefined;
}

/** The service to use; undefined when the device has none. */
export function parseDescription(xml: string): IgdService | undefined {
  const services = xml.split(/<service(?:\s[^<>]*)?>/).slice(1);
  const found = services.flatMap((rest): readonly IgdService[] => {
    const service = rest.split("</service>", 1)[0] ?? "";
    const [type, controlUrl] = [elementText(service, "serviceType"), elementText(service, "controlURL")];
    return type === undefined || controlUrl === undefined || !SERVICE_TYPES.includes(type) ? [] : [{ type, controlUrl }];
  });
  const rank = ({ type }: IgdService): number => SERVICE_TYPES.indexOf(type);
  return found.sort((a, b) => rank(a) - rank(b))[0];
}

/** A SOAP call. Values are numbers, addresses and words of ours: nothing to be escaped. */
export function formatCall(serviceType: string, action: string, values: Readonly<Record<string, string | number>>): string {
  const args = Object.entries(values).map(([name, value]) => `<${name}>${value}</${name}>`);
  const call = `<u:${action} xmlns:u="${serviceType}">${args.join("")}</u:${action}>`;
  const attributes = 's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/" xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"';
  return `<?xml version="1.0"?>\r\n<s:Envelope ${attributes}><s:Body>${call}</s:Body></s:Envelope>\r\n`;
}

/** Text of the first element of that name, in whatever namespace; undefined when there is none, or other elements are in it. */
export function elementText(xml: string, name: string): string | undefined {
  const [, text] = new RegExp(`<(?:[\\w.-]{1,64}:)?${name}(?:\\s[^<>]*)?>([^<]*)</`).exec(xml) ?? [];
  return text === undefined ? undefined : unescaped(text.trim());
}

function unescaped(text: string): string {
  const entities: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replace(/&(lt|gt|quot|apos|amp);/g, (whole, name: string) => entities[name] ?? whole);
}
