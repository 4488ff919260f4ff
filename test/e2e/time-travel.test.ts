import { describe } from '@jest/globals';
import { sqliteRunStore } from '../support/run-store.js';
import { tellsThePast } from './time-travel.suite.js';

describe('the past over REST', () => tellsThePast(sqliteRunStore));
