import { access, rm } from "node:fs/promises";

/** Is there anything under this name? */
export async function stateDirectoryExists(directory: string): Promise<boolean> {
  return await access(directory).then(
    () => true,
    () => false,
  );
}

/** Removes a state directory that this process made and that holds no membership. */
export async function discardStateDirectory(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
}
