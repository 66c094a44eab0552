/** A name like the wished one that is not taken: mine, mine-2, mine-3 … */
export function freeName(wish: string, isTaken: (name: string) => boolean): string {
  for (let n = 1; ; n++) {
    const name = n === 1 ? wish : `${wish}-${n}`;
    if (!isTaken(name)) return name;
  }
}
