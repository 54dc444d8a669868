{{ described_trips() }}
