export { isName, nameFrom } from "../bytes/name.ts";
export * from "./agent-files.ts";
export * from "./launch-order.ts";
export { ShapeError } from "./shape.ts";
