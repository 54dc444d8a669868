select
    -- of the first row of each key: the merge numbers the others
    {{ row_id(row_key('yellow'), '1') }} as unique_row_id,
    file_month,
    file_row,
    {{ trip_columns('yellow') | join(',\n    ') }}

from {{ ref('stg_tlc__yellow_trips') }}
where {{ is_version_to_merge('yellow') }}
