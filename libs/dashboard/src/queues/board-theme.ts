import type { UIConfig, UITheme } from '@bull-board/api/typings/app';

const RING = '/dashboard/assets/ring.svg';

/** The colours of the other pages, under bull-board's names. */
const THEME: UITheme = {
  light: {
    background: '#f6f3ee',
    foreground: '#22252b',
    card: '#ffffff',
    'card-foreground': '#22252b',
    primary: '#a84a24',
    'primary-foreground': '#ffffff',
    border: '#e2dcd2',
    ring: '#a84a24',
    'muted-foreground': '#5d6068',
    'state-selected': '#f3e2d8',
    'state-selected-hover': '#eed7ca',
    'state-selected-foreground': '#8a3a1a',
    sidebar: '#ffffff',
    'sidebar-foreground': '#22252b',
    'sidebar-primary': '#a84a24',
    'sidebar-state-selected': '#f3e2d8',
    'sidebar-state-selected-hover': '#eed7ca',
    'sidebar-state-selected-foreground': '#8a3a1a',
    'sidebar-border': '#e2dcd2',
    'sidebar-ring': '#a84a24',
  },
  dark: {
    background: '#16181c',
    foreground: '#eceae6',
    card: '#1f2228',
    'card-foreground': '#eceae6',
    primary: '#f0936a',
    'primary-foreground': '#22150e',
    border: '#343841',
    ring: '#f0936a',
    'muted-foreground': '#a9abb2',
    'state-selected': '#3a2a22',
    'state-selected-hover': '#463228',
    'state-selected-foreground': '#ffb594',
    sidebar: '#1f2228',
    'sidebar-foreground': '#eceae6',
    'sidebar-primary': '#f0936a',
    'sidebar-state-selected': '#3a2a22',
    'sidebar-state-selected-hover': '#463228',
    'sidebar-state-selected-foreground': '#ffb594',
    'sidebar-border': '#343841',
    'sidebar-ring': '#f0936a',
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
