with

source as (

    select * from {{ source('tlc_raw', 'fhv_tripdata') }}

),

renamed as (

    select
        _file_month as file_month,
        _file_row as file_row,
        _dlt_load_id as load_id,
        {{ typed_columns('fhv') | join(',\n        ') }}

    from source

)

select * from renamed
