import type { UIConfig, UITheme } from '@bull-board/api/typings/app';
import { COLOURS } from '@ephemera/http';

const RING = '/dashboard/assets/ring.svg';

/** The colours of the other pages, under bull-board's names. */
const THEME: UITheme = {
  light: {
    background: COLOURS.page.light,
    foreground: COLOURS.text.light,
    card: COLOURS.card.light,
    'card-foreground': COLOURS.text.light,
    primary: COLOURS.glow.light,
    'primary-foreground': COLOURS['on-glow'].light,
    border: COLOURS.line.light,
    ring: COLOURS.glow.light,
    'muted-foreground': COLOURS.soft.light,
    'state-selected': '#f3e2d8',
    'state-selected-hover': '#eed7ca',
    'state-selected-foreground': '#8a3a1a',
    sidebar: COLOURS.card.light,
    'sidebar-foreground': COLOURS.text.light,
    'sidebar-primary': COLOURS.glow.light,
    'sidebar-state-selected': '#f3e2d8',
    'sidebar-state-selected-hover': '#eed7ca',
    'sidebar-state-selected-foreground': '#8a3a1a',
    'sidebar-border': COLOURS.line.light,
    'sidebar-ring': COLOURS.glow.light,
  },
  dark: {
    background: COLOURS.page.dark,
    foreground: COLOURS.text.dark,
    card: COLOURS.card.dark,
    'card-foreground': COLOURS.text.dark,
    primary: COLOURS.glow.dark,
    'primary-foreground': COLOURS['on-glow'].dark,
    border: COLOURS.line.dark,
    ring: COLOURS.glow.dark,
    'muted-foreground': COLOURS.soft.dark,
    'state-selected': '#3a2a22',
    'state-selected-hover': '#463228',
    'state-selected-foreground': '#ffb594',
    sidebar: COLOURS.card.dark,
    'sidebar-foreground': COLOURS.text.dark,
    'sidebar-primary': COLOURS.glow.dark,
    'sidebar-state-selected': '#3a2a22',
    'sidebar-state-selected-hover': '#463228',
    'sidebar-state-selected-foreground': '#ffb594',
    'sidebar-border': COLOURS.line.dark,
    'sidebar-ring': COLOURS.glow.dark,
  },
};

export const BOARD_THEME: UIConfig = {
  boardTitle: 'Ephemera queues',
  boardLogo: { path: RING, width: 24, height: 24 },
  favIcon: { default: RING, alternative: RING },
  miscLinks: [{ text: 'Instances', url: '/dashboard/instances' }],
  hideDocsLink: true,
  sortQueues: true,
  theme: THEME,
};
