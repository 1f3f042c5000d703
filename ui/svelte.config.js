// Runes everywhere: what changes is said, never guessed.
export default { compilerOptions: { runes: true } };
