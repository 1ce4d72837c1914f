import type { Shell } from "../arguments.ts";
import { type CommandName, commandEntry, commandNames, type FlagName, flagEntry, flagNames } from "../command-table.ts";

/** A script that makes the shell complete `mesh`, made from the command table: it knows what the parser knows. */
export function renderCompletion(shell: Shell): string {
  switch (shell) {
    case "bash":
      return renderBash();
    case "zsh":
      return renderZsh();
    case "fish":
      return renderFish();
  }
}

/** `<install|remove>` is a choice of words; anything else is up to the person. */
function choicesIn(placeholder: string): readonly string[] {
  const words = placeholder.replace(/[<>]/g, "").split("|");
  return words.length > 1 ? words : [];
}

function argumentChoices(command: CommandName): readonly string[] {
  if (command === "help") return commandNames;
  return commandEntry(command).positionals.flatMap(choicesIn);
}

/** What a flag's value or an argument is when it is no choice of words. */
function kindOf(placeholder: string | undefined): "directory" | "file" | undefined {
  if (placeholder === "dir") return "directory";
  return placeholder === "[file]" ? "file" : undefined;
}

function takesFile(command: CommandName): boolean {
  return commandEntry(command).positionals.some((placeholder) => kindOf(placeholder) === "file");
}

function renderBash(): string {
  const values = flagNames.flatMap((name) => {
    const { value, choices: words = [] } = flagEntry(name);
    if (value === undefined) return [];
    const reply = kindOf(value) === "directory" ? '-d -- "$word"' : `-W "${words.join(" ")}" -- "$word"`;
    return [`    --${name}) COMPREPLY=($(compgen ${reply})); return ;;`];
  });
  const commands = commandNames.map((name) => {
    const words = [...argumentChoices(name), ...commandEntry(name).flags.map((flag) => `--${flag}`)].join(" ");
    const files = takesFile(name) ? ' $(compgen -f -- "$word")' : "";
    return `    ${name}) COMPREPLY=($(compgen -W "${words}" -- "$word")${files}) ;;`;
  });
  return `# bash completion for mesh
_mesh() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} command= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
      -*) ;;
      *) case \${COMP_WORDS[i-1]} in ${valuePatterns()}) ;; *) command=\${COMP_WORDS[i]}; break ;; esac ;;
    esac
  done
  case $before in
${values.join("\n")}
  esac
  case $command in
    "") COMPREPLY=($(compgen -W "${commandNames.join(" ")} --help --version" -- "$word")) ;;
${commands.join("\n")}
  esac
}
complete -F _mesh mesh ./mesh
`;
}

/** Flags whose next word is their value, as patterns of a shell's case. */
function valuePatterns(): string {
  return flagNames
    .filter((name) => flagEntry(name).value !== undefined)
    .map((name) => `--${name}`)
    .join("|");
}

function renderZsh(): string {
  const described = commandNames.map((name) => `    '${name}:${quoted(commandEntry(name).summary)}'`);
  const commands = commandNames.map((name) => {
    const flags = commandEntry(name).flags.map((flag) => `'${zshFlag(flag)}'`);
    const words = argumentChoices(name);
    const argument = words.length > 0 ? [`'1:argument:(${words.join(" ")})'`] : takesFile(name) ? ["'1:file:_files'"] : [];
    return `    ${name}) _arguments ${[...argument, ...flags].join(" ")} ;;`;
  });
  return `#compdef mesh
_mesh() {
  local -a commands=(
${described.join("\n")}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${commands.join("\n")}
  esac
}
if [[ $funcstack[1] == _mesh ]]; then _mesh "$@"; else compdef _mesh mesh; fi
`;
}

function zshFlag(name: FlagName): string {
  const { value, choices: words = [], summary } = flagEntry(name);
  // Brackets and colons are syntax here.
  const meaning = quoted(summary).replace(/[[\]:]/g, "\\$&");
  if (value === undefined) return `--${name}[${meaning}]`;
  const kind = kindOf(value) === "directory" ? "_files -/" : words.length > 0 ? `(${words.join(" ")})` : " ";
  return `--${name}=[${meaning}]:${words.length > 0 ? "value" : value.replace(":", " ")}:${kind}`;
}

function renderFish(): string {
  const lines = ["# fish completion for mesh", "complete -c mesh -f"];
  for (const name of commandNames) {
    lines.push(`complete -c mesh -n __fish_use_subcommand -a ${name} -d '${fishQuoted(commandEntry(name).summary)}'`);
    const seen = `-n '__fish_seen_subcommand_from ${name}'`;
    const words = argumentChoices(name);
    if (words.length > 0) lines.push(`complete -c mesh ${seen} -a '${words.join(" ")}'`);
    if (takesFile(name)) lines.push(`complete -c mesh ${seen} -F`);
    for (const flag of commandEntry(name).flags) {
      const { value, choices = [], summary } = flagEntry(flag);
      const argument =
        value === undefined ? "" : choices.length > 0 ? ` -x -a '${choices.join(" ")}'` : kindOf(value) === "directory" ? " -r -F" : " -x";
      lines.push(`complete -c mesh ${seen} -l ${flag}${argument} -d '${fishQuoted(summary)}'`);
    }
  }
  return `${lines.join("\n")}\n`;
}

/** For inside single quotes of a POSIX shell. */
function quoted(text: string): string {
  return text.replaceAll("'", "'\\''");
}

function fishQuoted(text: string): string {
  return text.replace(/[\\']/g, "\\$&");
}
