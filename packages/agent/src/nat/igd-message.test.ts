import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "@mesh/core/testing";
import { randomInput } from "../../../core/src/bytes/check-codec-fixture.ts";
import { DESCRIPTION, searchAnswer } from "./fake-router-fixture.ts";
import { elementText, formatCall, formatSearch, parseDescription, parseSearchAnswer } from "./igd-message.ts";

test("a search is an HTTP request without a body", () => {
  assert.deepEqual(formatSearch("239.255.255.250:1900").split("\r\n"), [
    "M-SEARCH * HTTP/1.1",
    "HOST: 239.255.255.250:1900",
    'MAN: "ssdp:discover"',
    "MX: 1",
    "ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "",
    "",
  ]);
});

test("an answer says where the description is, in a header of any spelling", () => {
  assert.equal(parseSearchAnswer(searchAnswer("http://192.168.1.1:5000/a.xml")), "http://192.168.1.1:5000/a.xml");
  assert.equal(parseSearchAnswer("HTTP/1.0 200 OK\r\nlocation:http://a/\r\n"), "http://a/");
});

test("announcements, errors and answers without a place are none", () => {
  for (const text of [
    "",
    "NOTIFY * HTTP/1.1\r\nLocation: http://a/",
    "HTTP/1.1 404 Not Found\r\nLocation: http://a/",
    "HTTP/1.1 200 OK\r\n\r\n",
  ])
    assert.equal(parseSearchAnswer(text), undefined, text);
});

test("the service that maps ports is found among others, entities read", () => {
  assert.deepEqual(parseDescription(DESCRIPTION), {
    type: "urn:schemas-upnp-org:service:WANIPConnection:1",
    controlUrl: "/ctl/IPConn?a=1&b=2",
  });
});

test("of several services the newest is used, and a line with PPP is as good as none", () => {
  const service = (type: string): string =>
    `<service><serviceType>urn:schemas-upnp-org:service:${type}</serviceType><controlURL>/${type}</controlURL></service>`;
  assert.equal(parseDescription(service("WANPPPConnection:1") + service("WANIPConnection:1"))?.controlUrl, "/WANIPConnection:1");
  assert.equal(parseDescription(service("WANIPConnection:1") + service("WANIPConnection:2"))?.controlUrl, "/WANIPConnection:2");
  assert.equal(parseDescription(service("WANPPPConnection:1"))?.controlUrl, "/WANPPPConnection:1");
  assert.equal(parseDescription(service("WANIPv6FirewallControl:1")), undefined);
});

test("a type and a URL of two services are not taken for one", () => {
  const split =
    "<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType></service><service><controlURL>/a</controlURL></service>";
  assert.equal(parseDescription(split), undefined);
});

test("a call names service and action, its values in their order", () => {
  const call = formatCall("urn:a:1", "Do", { NewA: "", NewB: 7 });
  assert.match(call, /<s:Body><u:Do xmlns:u="urn:a:1"><NewA><\/NewA><NewB>7<\/NewB><\/u:Do><\/s:Body>/);
});

test("an element's text is found whatever its namespace and attributes", () => {
  assert.equal(elementText("<m:errorCode xmlns:m='a'> 718 </m:errorCode>", "errorCode"), "718");
  assert.equal(elementText("<errorCode><b/></errorCode>", "errorCode"), undefined);
  assert.equal(elementText("<myerrorCode>1</myerrorCode><errorCode", "errorCode"), undefined);
});

test("seed 1: 20,000 mutations of answers and descriptions are read or not, and nothing is thrown", () => {
  const random = new SeededRandom(1);
  const bases = [DESCRIPTION, searchAnswer("http://192.168.1.1:5000/a.xml")].map((text) => Uint8Array.from(Buffer.from(text)));
  let services = 0;
  for (let run = 0; run < 20_000; run++) {
    const text = Buffer.from(randomInput(random, bases)).toString("utf8");
    if (parseDescription(text) !== undefined) services++;
    parseSearchAnswer(text);
  }
  assert.ok(services > 1_000, `${services} services`);
});
