import { createInProcessBus } from '../../src/adapters/bus/in-process/in-process-bus.js';
import { busContract } from './bus.contract.js';

busContract('The in-process bus', () => ({ create: createInProcessBus, isDurable: false }));
