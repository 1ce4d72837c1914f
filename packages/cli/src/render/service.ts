import type { ServiceView } from "../commands/service.ts";

export function renderService(view: ServiceView): string {
  const { changeable } = view;
  if (changeable === undefined) return outcomeOf(view);
  return `${outcomeOf(view)}Caution: who may write to ${changeable} becomes root by this service. Keep it where only root writes, as in /opt.\n`;
}

function outcomeOf({ network, unit, file, outcome }: ServiceView): string {
  if (outcome === "removed") return `systemd does not start ${network} any more. By hand: mesh up --network ${network}\n`;
  if (outcome === "started")
    return `systemd runs ${network} now, and at every boot, as ${unit} (${file}).\nSee it: systemctl status ${unit}\n`;
  return `systemd starts ${network} from the next boot on, as ${unit} (${file}).
The agent that runs now goes on. To hand it over: mesh down --network ${network} && systemctl start ${unit}
`;
}
